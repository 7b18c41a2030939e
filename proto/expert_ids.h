// The ids of the experts that a router chose, as the trace stores them: each id takes one byte in
// policies of up to 256 experts and two bytes, the lower one first, in larger ones. The message
// that holds the ids says which (expert_id_bytes; 0 means 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace grouper {

// The most experts per layer whose ids two bytes can hold.
inline constexpr int64_t kMostStorableExperts = 65536;

// expert_id_bytes of a policy with this many experts per layer.
inline uint32_t ExpertIdBytes(int64_t experts) { return experts <= 256 ? 1 : 2; }

inline void AppendExpertId(int32_t id, uint32_t id_bytes, std::string* out) {
  for (uint32_t i = 0; i < id_bytes; ++i) out->push_back(static_cast<char>(id >> (8 * i)));
}

// A view of stored ids; the bytes outlive it. An incomplete id at the end is left out.
class ExpertIds {
 public:
  ExpertIds(std::string_view bytes, uint32_t id_bytes)
      : bytes_(bytes), width_(id_bytes > 1 ? 2 : 1) {}
  size_t size() const { return bytes_.size() / width_; }
  int32_t operator[](size_t i) const {
    const auto byte = [this](size_t at) { return static_cast<uint8_t>(bytes_[at]); };
    return width_ == 1 ? byte(i) : byte(2 * i) | byte(2 * i + 1) << 8;
  }

 private:
  std::string_view bytes_;
  size_t width_;
};

}  // namespace grouper
