// A folder of one test case, removed with all it holds. Not thread-safe.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/io/file.h"

namespace grouper::testing_support {

class TempFolder {
 public:
  TempFolder() : path_(::testing::TempDir() + "grouper_test_XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "no temporary folder: " << path_;
  }
  ~TempFolder() { RemoveTree(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  // Writes a file without syncing it and returns its path.
  std::string Write(const std::string& name, std::string_view bytes) const {
    const std::string path = JoinPath(path_, name);
    std::ofstream(path, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path;
  }

 private:
  std::string path_;
};

// The message of the kUser error that the call throws; a test failure when it throws none.
template <typename Call>
std::string UserErrorOf(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser) << error.message();
    return error.message();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

}  // namespace grouper::testing_support
