// A table of short cells for people: columns as wide as their widest cell, numbers to the right.
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
  // One cell a column. Cells are printed as they are: escape foreign text first (escape.h).
  void AddRow(std::vector<std::string> cells);
  void Print(std::ostream& out) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Fixed point; "-" for NaN.
std::string FormatFixed(double value, int digits);
// Up to six significant digits, "0.5", "1", "-1.25".
std::string FormatShort(double value);

}  // namespace grouper
