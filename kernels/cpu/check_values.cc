#include "kernels/cpu/check_values.h"

#include <string>
#include <vector>

#include "base/error.h"

namespace grouper::cpu {

void CheckIds(const char* what, const Tensor& ids, int64_t bound) {
  const int32_t* id = ids.as<int32_t>();
  for (int64_t i = 0; i < ids.elements(); ++i) {
    CHECK(id[i] >= 0 && id[i] < bound, std::string(what) + " hold an id that does not exist",
          Named("element", i), Named("id", id[i]), Named("ids", bound));
  }
}

void CheckDistinctIds(const char* what, const Tensor& ids, int64_t bound) {
  std::vector<int64_t> row_that_has(static_cast<size_t>(bound), -1);
  for (int64_t t = 0; t < ids.dim(0); ++t) {
    const int32_t* row = ids.as<int32_t>() + t * ids.row_stride;
    for (int64_t slot = 0; slot < ids.dim(1); ++slot) {
      CHECK(row[slot] >= 0 && row[slot] < bound,
            std::string(what) + " hold an id that does not exist", Named("row", t),
            Named("slot", slot), Named("id", row[slot]), Named("ids", bound));
      int64_t& last = row_that_has[static_cast<size_t>(row[slot])];
      CHECK(last != t, std::string(what) + " hold an id twice in one row", Named("row", t),
            Named("slot", slot), Named("id", row[slot]));
      last = t;
    }
  }
}

}  // namespace grouper::cpu
