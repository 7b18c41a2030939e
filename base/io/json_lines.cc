#include "base/io/json_lines.h"

#include <cerrno>
#include <cstring>
#include <iostream>
#include <limits>

#include "base/error.h"

namespace grouper {

JsonLinesReader::JsonLinesReader(const std::string& path, const std::string& what)
    : path_(path == "-" ? "standard input" : path), in_(&std::cin) {
  if (path == "-") return;
  errno = 0;
  file_.open(path, std::ios::binary);
  // Opening a folder succeeds; its first read does not.
  const bool readable = file_.is_open() && (file_.peek(), !file_.bad());
  USER_CHECK(readable, "[" + what + "] cannot read " + path + ": " +
                           std::strerror(errno != 0 ? errno : EIO) +
                           "; name a JSONL file that you may read");
  file_.clear();
  in_ = &file_;
}

std::string JsonLinesReader::where() const { return path_ + ":" + std::to_string(line_number_); }

// Reads the buffer itself and not through the stream, so that a failed read throws the library's
// exception.
bool JsonLinesReader::ReadLine() try {
  const size_t max_bytes = JsonLimits{}.max_bytes;
  line_.clear();
  std::streambuf* bytes = in_->rdbuf();
  int c = bytes->sbumpc();
  if (c == std::streambuf::traits_type::eof()) return false;
  ++line_number_;
  for (; c != std::streambuf::traits_type::eof() && c != '\n'; c = bytes->sbumpc()) {
    if (line_.size() >=
        max_bytes + (c == '\r' ? 1 : 0)) {  // a CR at the end is not part of the row
      // The rest of this line must not be read as a row if the caller reads further.
      in_->ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      ThrowUser(where() + ": the line is longer than " + std::to_string(max_bytes) +
                " bytes; split the row");
    }
    line_.push_back(static_cast<char>(c));
  }
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  return true;
} catch (const std::ios_base::failure&) {
  ThrowInternal(where() + ": the file cannot be read further; check the disk");
}

bool JsonLinesReader::Next(Json* row) {
  do {
    if (!ReadLine()) return false;
  } while (line_.find_first_not_of(" \t") == std::string::npos);
  *row = ParseJson(line_, where());
  USER_CHECK(row->IsObject(), where() + ": a row must be a JSON object, as {\"question\": ...}");
  return true;
}

}  // namespace grouper
