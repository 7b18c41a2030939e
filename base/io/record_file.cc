#include "base/io/record_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/digest.h"
#include "base/error.h"

namespace grouper {
namespace {

static_assert(std::endian::native == std::endian::little,
              "frames are written as they lie in memory");

constexpr size_t kHeaderBytes = 12;
constexpr size_t kFooterBytes = 4;
constexpr size_t kWindowBytes = size_t{256} << 10;

template <typename T>
void AppendWord(std::string* out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

template <typename T>
T WordAt(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

}  // namespace

RecordWriter::RecordWriter(const std::string& path, int64_t keep_bytes, DiskWait* wait)
    : file_(path, keep_bytes, wait) {}

void RecordWriter::Append(std::string_view record) {
  CHECK(record.size() <= kMaxRecordBytes, "[record] the record is larger than a frame may be",
        Named("file", file_.path()), Named("bytes", record.size()));
  std::string header;
  AppendWord<uint64_t>(&header, record.size());
  AppendWord<uint32_t>(&header, MaskedCrc32c(header));
  std::string frame;
  frame.reserve(kHeaderBytes + record.size() + kFooterBytes);
  frame.append(header).append(record);
  AppendWord<uint32_t>(&frame, MaskedCrc32c(record));
  file_.Append(frame);
}

void RecordWriter::Flush() { file_.Flush(); }
void RecordWriter::Sync() { file_.Sync(); }

// A window of the file around the next frame, refilled by pread: a file that grows while it is read
// is seen as far as it has grown.
struct RecordReader::State {
  std::string path;
  int fd = -1;
  std::string window;
  uint64_t window_at = 0;

  ~State() {
    if (fd >= 0) close(fd);
  }

  // Up to `bytes` bytes at `offset`; fewer only at the end of the file.
  std::string_view Fetch(uint64_t offset, size_t bytes) {
    if (offset >= window_at && offset + bytes <= window_at + window.size()) {
      return std::string_view(window).substr(static_cast<size_t>(offset - window_at), bytes);
    }
    window.resize(std::max(bytes, kWindowBytes));
    window_at = offset;
    size_t used = 0;
    while (used < window.size()) {
      const ssize_t got =
          pread(fd, window.data() + used, window.size() - used, static_cast<off_t>(offset + used));
      if (got < 0 && errno == EINTR) continue;
      CHECK(got >= 0, "[record] the file cannot be read", Named("file", path),
            Named("byte", offset + used), Named("reason", std::strerror(errno)));
      if (got == 0) break;
      used += static_cast<size_t>(got);
    }
    window.resize(used);
    return std::string_view(window).substr(0, bytes);
  }
};

RecordReader::RecordReader(const std::string& path, uint64_t from)
    : state_(std::make_unique<State>()), offset_(from) {
  USER_CHECK(!FolderExists(path), "[record] " + path + " is a folder; name a file");
  state_->path = path;
  state_->fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  USER_CHECK(state_->fd >= 0,
             "[record] cannot open " + path + ": " + std::strerror(errno) + "; check the path");
}

RecordReader::~RecordReader() = default;

bool RecordReader::Next(std::string* record) {
  torn_ = false;
  const auto refuse = [&] {
    torn_ = true;
    state_->window.clear();  // look again at the file itself next time
    return false;
  };
  const std::string_view header = state_->Fetch(offset_, kHeaderBytes);
  if (header.empty()) return false;
  if (header.size() < kHeaderBytes) return refuse();
  const auto length = WordAt<uint64_t>(header, 0);
  if (WordAt<uint32_t>(header, 8) != MaskedCrc32c(header.substr(0, 8))) return refuse();
  if (length > kMaxRecordBytes) return refuse();

  const size_t frame_bytes = kHeaderBytes + static_cast<size_t>(length) + kFooterBytes;
  const std::string_view frame = state_->Fetch(offset_, frame_bytes);
  if (frame.size() < frame_bytes) return refuse();
  const std::string_view body = frame.substr(kHeaderBytes, static_cast<size_t>(length));
  if (WordAt<uint32_t>(frame, frame_bytes - kFooterBytes) != MaskedCrc32c(body)) return refuse();
  record->assign(body);
  offset_ += frame_bytes;
  return true;
}

uint64_t RecordResumeOffset(const std::string& path, int64_t keep_bytes) {
  if (keep_bytes == 0 || (keep_bytes < 0 && !FileExists(path))) return 0;
  const uint64_t wanted = keep_bytes < 0 ? UINT64_MAX : static_cast<uint64_t>(keep_bytes);
  uint64_t valid = 0;
  if (FileExists(path)) {
    RecordReader reader(path);
    std::string record;
    while (reader.valid_bytes() < wanted && reader.Next(&record)) {
    }
    valid = reader.valid_bytes();
  }
  USER_CHECK(keep_bytes < 0 || valid == wanted,
             "[record] the file does not hold whole frames up to the byte where the checkpoint "
             "continues; put the whole file back or use an older checkpoint",
             Named("file", path), Named("byte", keep_bytes), Named("frames_end_at", valid));
  return valid;
}

}  // namespace grouper
