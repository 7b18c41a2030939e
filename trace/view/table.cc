#include "trace/view/table.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "base/error.h"

namespace grouper {
namespace {

// The number of code points. It is the width of nearly all text in these tables; a wide character
// only shifts a column.
size_t Width(const std::string& cell) {
  return static_cast<size_t>(std::count_if(
      cell.begin(), cell.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

std::string Format(const char* format, int digits, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, digits, value);
  return text;
}

}  // namespace

void Table::AddRow(std::vector<std::string> cells) {
  CHECK(cells.size() == columns_.size(), "[table] a row needs one cell per column",
        Named("cells", cells.size()), Named("columns", columns_.size()));
  rows_.push_back(std::move(cells));
}

void Table::Print(std::ostream& out) const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t width = Width(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, Width(row[c]));
    widths.push_back(width);
  }
  const auto print_cell = [&](const std::string& cell, size_t c) {
    const std::string pad(widths[c] - Width(cell), ' ');
    const bool last = c + 1 == columns_.size();
    if (columns_[c].align == Align::kRight) {
      out << pad << cell;
    } else {
      out << cell << (last ? "" : pad);
    }
    out << (last ? "\n" : "  ");
  };
  for (size_t c = 0; c < columns_.size(); ++c) print_cell(columns_[c].title, c);
  for (const auto& row : rows_) {
    for (size_t c = 0; c < columns_.size(); ++c) print_cell(row[c], c);
  }
}

std::string FormatFixed(double value, int digits) {
  return std::isnan(value) ? "-" : Format("%.*f", digits, value);
}

std::string FormatShort(double value) { return Format("%.*g", 6, value); }

}  // namespace grouper
