// JSONL rows from a file or standard input ("-"), with a line number for every error.
#pragma once

#include <cstdint>
#include <fstream>
#include <istream>
#include <string>

#include "base/io/json.h"

namespace grouper {

class JsonLinesReader {
 public:
  // `what` names the setting in errors ("data.train").
  JsonLinesReader(const std::string& path, const std::string& what);
  // Next non-empty line as an object; false at the end. kUser "path:line: ..." on a bad row.
  bool Next(Json* row);
  // The raw line of the row that was read last, and its place: "path:line".
  const std::string& line() const { return line_; }
  std::string where() const;
  int64_t line_number() const { return line_number_; }

 private:
  bool ReadLine();
  std::string path_;
  std::ifstream file_;
  std::istream* in_;
  std::string line_;
  int64_t line_number_ = 0;
};

}  // namespace grouper
