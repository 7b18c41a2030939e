#include "trace/store/digest.h"

#include <bit>
#include <map>
#include <string_view>

namespace grouper {
namespace {

static_assert(std::endian::native == std::endian::little, "words are hashed as they lie in memory");

// Writes words of fixed width in little-endian order. The length of a string or an array, a u64,
// comes before its content.
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}

  template <typename T>
  void Word(T value) {
    Raw(&value, sizeof(value));
  }
  void Bytes(std::string_view bytes) {
    Word<uint64_t>(bytes.size());
    out_->append(bytes);
  }
  template <typename T>
  void Array(const google::protobuf::RepeatedField<T>& values) {
    Word<uint64_t>(static_cast<uint64_t>(values.size()));
    Raw(values.data(), sizeof(T) * static_cast<size_t>(values.size()));
  }

 private:
  void Raw(const void* data, size_t bytes) { out_->append(static_cast<const char*>(data), bytes); }
  std::string* out_;
};

void Write(const Completion& completion, Writer* out) {
  out->Word<uint64_t>(completion.rollout_id());
  out->Word<uint32_t>(completion.index());
  out->Array(completion.ids());
  out->Bytes(completion.text());
  out->Array(completion.text_ends());
  out->Array(completion.rollout_log_probs());
  out->Array(completion.entropies());
  out->Bytes(completion.experts());
  out->Word<uint32_t>(static_cast<uint32_t>(completion.finish_reason()));
  out->Word<uint64_t>(static_cast<uint64_t>(completion.spans_size()));
  for (const PolicySpan& span : completion.spans()) {
    out->Word<uint32_t>(span.begin());
    out->Word<uint32_t>(span.end());
    out->Word<uint64_t>(span.policy_version());
    out->Word<uint64_t>(span.weights_digest());
    out->Word<uint8_t>(span.sampled() ? 1 : 0);
  }
}

void Write(const reward::v1::ScoreResult& score, Writer* out) {
  out->Word<uint32_t>(static_cast<uint32_t>(score.status()));
  out->Word<uint8_t>(score.has_reward() ? 1 : 0);
  out->Word<double>(score.reward());
  out->Word<uint32_t>(static_cast<uint32_t>(score.verdict()));
  out->Bytes(score.reason());
  const std::map<std::string, double> components(score.components().begin(),
                                                 score.components().end());
  out->Word<uint64_t>(components.size());
  for (const auto& [name, value] : components) {
    out->Bytes(name);
    out->Word<double>(value);
  }
}

}  // namespace

TraceDigest::TraceDigest() { hash_.Update("grouper trace digest 1\n"); }

void TraceDigest::Add(const Group& group) {
  buffer_.clear();
  Writer out(&buffer_);
  out.Word<uint8_t>('G');
  out.Word<int64_t>(group.step());
  out.Word<uint64_t>(group.prompt().ordinal());
  out.Bytes(group.prompt().text());
  out.Bytes(group.prompt().prefill());
  out.Array(group.prompt().ids());
  out.Bytes(group.prompt_experts());
  out.Word<uint64_t>(static_cast<uint64_t>(group.completions_size()));
  for (const Completion& completion : group.completions()) {
    Write(completion, &out);
    tokens_ += completion.ids_size();
  }
  out.Word<uint64_t>(static_cast<uint64_t>(group.scores_size()));
  for (const reward::v1::ScoreResult& score : group.scores()) Write(score, &out);
  out.Array(group.advantages());
  if (!group.dropped().empty()) {
    out.Word<uint8_t>('D');
    out.Bytes(group.dropped());
  }
  if (group.kl_penalties_size() > 0) {
    out.Word<uint8_t>('K');
    out.Array(group.kl_penalties());
  }
  hash_.Update(buffer_);
  ++groups_;
  completions_ += group.completions_size();
}

std::string TraceDigest::FinishHex() {
  buffer_.clear();
  Writer out(&buffer_);
  out.Word<uint8_t>('E');
  out.Word<uint64_t>(static_cast<uint64_t>(groups_));
  hash_.Update(buffer_);
  return hash_.FinishHex();
}

}  // namespace grouper
