#include "policy/checkpoint/checkpoint_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

#include "base/digest.h"
#include "base/io/file.h"

namespace grouper {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

// The bytes of a file in their order, hashed as they are read.
class HashedFile {
 public:
  HashedFile(const std::string& folder, const ManifestFile& file)
      : path_(JoinPath(folder, file.name())),
        sha256_(file.sha256()),
        fd_(open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    USER_CHECK(fd_ >= 0, "[checkpoint] a file cannot be opened; use an older checkpoint",
               Named("file", path_), Named("reason", std::strerror(errno)));
    struct stat info {};
    left_ = fstat(fd_, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
    if (left_ != file.bytes()) {
      Refuse("has another size than its manifest says", Named("bytes", left_),
             Named("manifest_bytes", file.bytes()));
    }
  }
  ~HashedFile() {
    if (fd_ >= 0) close(fd_);
  }
  HashedFile(const HashedFile&) = delete;
  HashedFile& operator=(const HashedFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t left() const { return left_; }

  // The next bytes; no more than left().
  void Read(char* out, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
      const ssize_t got = read(fd_, out + done, bytes - done);
      if (got < 0 && errno == EINTR) continue;
      CHECK(got >= 0, "[checkpoint] a file cannot be read; check the disk", Named("file", path_),
            Named("reason", std::strerror(errno)));
      if (got == 0) Refuse("was cut while it was read");
      done += static_cast<size_t>(got);
    }
    hash_.Update(out, bytes);
    left_ -= bytes;
  }
  // Reads what is left and compares the hash of the whole file.
  void Finish() {
    std::vector<char> piece(std::min<uint64_t>(kPieceBytes, left_));
    while (left_ > 0) Read(piece.data(), std::min<uint64_t>(piece.size(), left_));
    if (hash_.FinishHex() != sha256_) Refuse("is damaged: its SHA-256 differs from its manifest");
  }

 private:
  template <typename... Values>
  [[noreturn]] void Refuse(const std::string& what, const Values&... values) const {
    throw CheckpointDamaged(
        error_detail::Message("[checkpoint] the file " + what + "; use an older checkpoint",
                              Named("file", path_), values...));
  }

  std::string path_, sha256_;
  int fd_;
  Sha256 hash_;
  uint64_t left_ = 0;
};

void VisitTensors(HashedFile* file, const TensorVisitor& visit) {
  std::string head(8, '\0');
  USER_CHECK(file->left() >= 8, file->path() + ": the file is too short for a safetensors header",
             Named("file_bytes", file->left()));
  file->Read(head.data(), head.size());
  const uint64_t header_bytes = SafetensorsHeaderBytes(head, file->left(), file->path());
  std::string header(header_bytes, '\0');
  file->Read(header.data(), header.size());
  std::vector<char> bytes;
  for (const SafetensorsTensor& tensor :
       ReadSafetensorsHeader(header, file->left(), file->path())) {
    bytes.resize(tensor.end - tensor.begin);
    file->Read(bytes.data(), bytes.size());
    visit(tensor, bytes.data());
  }
}

}  // namespace

void VerifyCheckpointFile(const std::string& folder, const ManifestFile& file) {
  HashedFile(folder, file).Finish();
}

void ReadCheckpointFile(const std::string& folder, const ManifestFile& file,
                        const TensorVisitor& visit) {
  HashedFile in(folder, file);
  std::exception_ptr fault;
  try {
    VisitTensors(&in, visit);
  } catch (const CheckpointDamaged&) {
    throw;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUser) throw;
    fault = std::current_exception();
  }
  in.Finish();
  if (fault != nullptr) std::rethrow_exception(fault);
}

ManifestFile WriteCheckpointFile(const std::string& folder, const std::string& name,
                                 std::vector<SafetensorsTensor> tensors,
                                 const std::function<void(size_t i, char* bytes)>& fill) {
  const std::string header = SafetensorsHeader(&tensors);
  Sha256 hash;
  uint64_t bytes = 0;
  size_t next = 0;
  std::vector<char> tensor;
  bool begun = false;
  PublishPieces(JoinPath(folder, name), [&](std::string_view* piece) {
    if (!begun) {
      begun = true;
      *piece = header;
    } else if (next < tensors.size()) {
      tensor.resize(tensors[next].end - tensors[next].begin);
      fill(next++, tensor.data());
      *piece = {tensor.data(), tensor.size()};
    } else {
      return false;
    }
    hash.Update(*piece);
    bytes += piece->size();
    return true;
  });
  ManifestFile file;
  file.set_name(name);
  file.set_bytes(bytes);
  file.set_sha256(hash.FinishHex());
  return file;
}

}  // namespace grouper
