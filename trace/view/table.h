// A table of short cells for people. A column is as wide as its widest cell; numbers are aligned to
// the right.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace grouper {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kRight;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // Takes one cell per column. Cells are printed as they are, so escape foreign text first
  // (escape.h).
  void AddRow(std::vector<std::string> cells);
  void Print(std::ostream& out) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Returns a fixed-point number, or "-" for NaN.
std::string FormatFixed(double value, int digits);
// Returns up to six significant digits, such as "0.5", "1" or "-1.25".
std::string FormatShort(double value);

}  // namespace grouper
