// Reference numbers of tests/golden/*.json (float64) as flat vectors.
#pragma once

#include <string>
#include <vector>

#include "base/io/file.h"
#include "base/io/json.h"
#include "tests/testing/kernel_case.h"

namespace grouper::testing {

inline Json ReadGolden(const std::string& name) {
  return ParseJson(ReadFile(std::string(GROUPER_TEST_GOLDEN) + "/" + name, "golden"), name);
}

inline void Flatten(const Json& json, std::vector<double>* out) {
  if (json.IsNumber()) out->push_back(json.number);
  for (const Json& item : json.items) Flatten(item, out);
}
inline std::vector<double> Flat(const Json& json) {
  std::vector<double> out;
  Flatten(json, &out);
  return out;
}

inline Owned FromNumbers(DType dtype, std::vector<int64_t> shape,
                         const std::vector<double>& numbers) {
  Owned t(dtype, std::move(shape));
  EXPECT_EQ(static_cast<size_t>(t.view.elements()), numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) t.Put(static_cast<int64_t>(i), numbers[i]);
  return t;
}

}  // namespace grouper::testing
