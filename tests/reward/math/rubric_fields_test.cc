// What the rubric's fields change about equality: tolerance, percent, decimal comma, units.
#include <gtest/gtest.h>

#include "tests/testing/same_answer.h"

namespace grouper {
namespace {

struct ToleranceCase {
  const char* rubric;
  const char* answer;
  const char* gold;
  bool equal;
};

const ToleranceCase kTolerances[] = {
    // Without a rule: half a unit of the last place of a gold that is written as a decimal.
    {"", "3.14159", "3.14", true},
    {"", "3.145", "3.14", true},
    {"", "3.135", "3.14", true},
    {"", "3.1450001", "3.14", false},
    {"", "3.1349999", "3.14", false},
    {"", "22/7", "3.14", true},
    {"", "3", "3.14", false},
    {"", "3.14", "22/7", false},
    {"", "0.33", "1/3", false},
    {"", "1/3", "0.33", true},
    {"", "0.3333", "0.\\overline{3}", false},
    {"", "18.4", "18", false},
    {"", "18.04", "18.0", true},
    {"", "18.06", "18.0", false},
    {"", "1540", "1.5e3", true},
    {"", "1551", "1.5e3", false},
    {"", "1550", "1.5 \\times 10^3", true},
    {"", "12.34%", "12.3%", true},
    {"", "12.36%", "12.3%", false},
    {"", "0.1234", "12.3%", true},
    {"", "0.1236", "12.3%", false},
    {"", "5.24 million", "5.2 million", true},
    {"", "-3.145", "-3.14", true},
    {"tolerance { exact: true }", "3.141", "3.14", false},
    {"tolerance { exact: true }", "0.5", "1/2", true},
    {"tolerance { exact: true }", "1/3", "0.33", false},
    {"tolerance { exact: true }", "3.140", "3.14", true},
    {"tolerance { half_ulp: true }", "3.141", "3.14", true},
    {"tolerance { decimals: 2 }", "3.14159", "3.14", true},
    {"tolerance { decimals: 2 }", "3.145", "3.14", true},
    {"tolerance { decimals: 2 }", "3.1451", "3.14", false},
    {"tolerance { decimals: 2 }", "0.33", "1/3", true},
    {"tolerance { decimals: 1 }", "3.1", "22/7", true},
    {"tolerance { decimals: 0 }", "3.5", "3.0", true},
    {"tolerance { decimals: 0 }", "22/7", "3", false},
    {"tolerance { absolute: 0.01 }", "3.15", "3.14", true},
    {"tolerance { absolute: 0.01 }", "3.13", "3.14", true},
    {"tolerance { absolute: 0.01 }", "3.15000001", "3.14", false},
    {"tolerance { absolute: 0.3 }", "0.4", "0.1", true},
    {"tolerance { absolute: 0.1 }", "0.30000000000000001", "0.2", false},
    {"tolerance { absolute: 0.1 }", "0.3", "0.2", true},
    {"tolerance { absolute: 2 }", "11", "10", false},
    {"tolerance { absolute: 2 }", "11.5", "10", true},
    {"tolerance { absolute: 2 }", "1e300000", "10.0", false},
    {"tolerance { absolute: 2 }", "1e-300000", "0.5", true},
    {"tolerance { relative: 0.01 }", "101", "100", false},
    {"tolerance { relative: 0.01 }", "101", "100.0", true},
    {"tolerance { relative: 0.01 }", "100.99", "100", true},
    {"tolerance { relative: 0.01 }", "101.000001", "100", false},
    {"tolerance { relative: 0.01 }", "-100.5", "-100", true},
    {"tolerance { relative: 0.01 }", "-100.5", "100", false},
    {"tolerance { relative: 0.01 }", "0.0001", "0", false},
    {"tolerance { relative: 1e-4 }", "123456789", "123456790", false},
    // Percent.
    {"percent_as_number: true", "50%", "50", true},
    {"percent_as_number: true", "50", "50%", true},
    {"percent_as_number: true", "0.5", "50%", true},
    {"percent_as_number: true", "50%", "0.5", true},
    {"percent_as_number: true", "5", "50%", false},
    {"percent_as_number: true", "33.3%", "33.33", false},
    {"percent_as_number: true", "33.33%", "33.3", true},
    {"percent_as_number: false", "50", "50%", false},
    // Decimal comma.
    {"decimal_comma: true", "1.234,5", "1234,5", true},
    {"decimal_comma: true", "3,14", "3,14", true},
    {"decimal_comma: true", "3{,}14", "3,14", true},
    {"decimal_comma: true", "3,14159", "3,14", true},
    {"decimal_comma: true", "1.234", "1234", true},
    {"decimal_comma: true", "1 234,5", "1234,5", true},
    {"decimal_comma: true", "1.23", "123", false},
    {"decimal_comma: true", "1,234,5", "1234,5", false},
    {"decimal_comma: true", "314", "3,14", false},
    // Units.
    {"units: UNITS_REQUIRED", "5 km", "5 km", true},
    {"units: UNITS_REQUIRED", "5 kilometers", "5 km", true},
    {"units: UNITS_REQUIRED", "5", "5 km", false},
    {"units: UNITS_REQUIRED", "5 km", "5", false},
    {"units: UNITS_REQUIRED", "5", "5", true},
    {"units: UNITS_REQUIRED", "$5", "5 dollars", true},
    {"units: UNITS_IGNORED", "5 m", "5 km", true},
    {"units: UNITS_IGNORED", "5 apples", "5 pears", true},
    {"units: UNITS_IGNORED", "5 or 6", "5", false},
    {"units: UNITS_IGNORED", "5x", "5", false},
    {"units: UNITS_NONE", "5", "5", true},
    {"units: UNITS_NONE", "5", "5 km", true},
    {"units: UNITS_NONE", "5 km", "5 km", false},
    {"units: UNITS_NONE", "$5", "5", false},
    {"units: UNITS_NONE", "50%", "0.5", true},
};

TEST(RubricFields, TolerancesPercentCommaUnits) {
  for (const ToleranceCase& c : kTolerances) {
    EXPECT_EQ(SameAnswer(c.answer, c.gold, RubricOf(c.rubric)), c.equal)
        << "{" << c.rubric << "} answer " << c.answer << " gold " << c.gold;
  }
}

}  // namespace
}  // namespace grouper
