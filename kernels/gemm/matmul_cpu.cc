#include "kernels/cpu/parallel.h"
#include "kernels/gemm/matmul.h"
#include "kernels/gemm/tile.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

// Row r of a product reads x row source(r): the row itself, or through a list.
struct RowSource {
  const real* x;
  int64_t stride;
  const int32_t* index;  // nullptr: identity
  GROUPER_INLINE const real* row(int64_t r) const {
    return x + (index == nullptr ? r : index[r]) * stride;
  }
};

struct Outputs {
  real* out;
  int64_t stride;
  const real* bias;      // nullptr: chains start at +0
  const real* residual;  // nullptr: none
  int64_t residual_stride;
  int64_t columns;
};

template <int kRows, int kPanels>
GROUPER_INLINE void RowTile(const RowSource& source, const real* weight, int64_t in,
                            const Outputs& o, int64_t row, int64_t panel) {
  const real* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = source.row(row + r);
  Lanes acc[kRows][2 * kPanels];
  for (int v = 0; v < 2 * kPanels; ++v) {
    const int64_t column = panel * 32 + v * kLanes;
    const Lanes start = o.bias == nullptr || column >= o.columns
                            ? Zero()
                            : LoadFirst(o.bias + column, o.columns - column);
    for (int r = 0; r < kRows; ++r) acc[r][v] = start;
  }
  Multiply<kRows, kPanels>(acc, rows, 1, weight + panel * in * 32, 32, in * 32, in);
  for (int v = 0; v < 2 * kPanels; ++v) {
    const int64_t column = panel * 32 + v * kLanes, n = o.columns - column;
    if (n <= 0) break;
    for (int r = 0; r < kRows; ++r) {
      Lanes y = acc[r][v];
      if (o.residual != nullptr) {
        y = Add(y, LoadFirst(o.residual + (row + r) * o.residual_stride + column, n));
      }
      StoreFirst(o.out + (row + r) * o.stride + column, y, n);
    }
  }
}

// Rows [row, row + count), count <= kTileRows, of panels [first, last).
template <int kRows>
GROUPER_INLINE void RowTiles(const RowSource& source, const real* weight, int64_t in,
                             const Outputs& o, int64_t row, int64_t count, int64_t first,
                             int64_t last) {
  if constexpr (kRows > 0) {
    if (count < kRows) {
      RowTiles<kRows - 1>(source, weight, in, o, row, count, first, last);
      return;
    }
    int64_t panel = first;
    if constexpr (kRows <= 2 && kTileRows >= 8) {
      // Few rows: more panels at once, so that enough chains are in flight.
      for (; panel + 4 <= last; panel += 4) RowTile<kRows, 4>(source, weight, in, o, row, panel);
    }
    for (; panel < last; ++panel) RowTile<kRows, 1>(source, weight, in, o, row, panel);
  }
}

// All rows of [begin, end) for panels [first, last): a panel's weights stay in L1 while rows pass.
__attribute__((noinline)) void Product(const RowSource& source, const real* weight, int64_t in,
                                       const Outputs& o, int64_t begin, int64_t end, int64_t first,
                                       int64_t last) {
  for (int64_t row = begin; row < end; row += kTileRows) {
    const int64_t count = end - row < kTileRows ? end - row : kTileRows;
    RowTiles<kTileRows>(source, weight, in, o, row, count, first, last);
  }
}

// Work of a task: large enough to be worth a hand-over, small enough to balance.
constexpr int64_t kTaskFma = 400000;

int64_t RowsPerTask(int64_t in, int64_t out) {
  int64_t rows = kTaskFma / (in * out + 1);
  rows = rows / kTileRows * kTileRows;
  return rows < kTileRows ? kTileRows : rows;
}

// Weight gradient tile: kRows rows k of the packed gradient by one panel; a chain over tokens.
template <int kRows>
GROUPER_INLINE void GradTile(const RowSource& x, const real* dy, int64_t dy_stride, int64_t begin,
                             int64_t end, real* grad, int64_t k, int64_t column, int64_t columns) {
  Lanes acc[kRows][2];
  for (int r = 0; r < kRows; ++r) {
    acc[r][0] = Load(grad + (k + r) * 32);
    acc[r][1] = Load(grad + (k + r) * 32 + kLanes);
  }
  const int64_t n = columns - column;
  for (int64_t t = begin; t < end; ++t) {
    const real* row = dy + t * dy_stride + column;
    const Lanes d0 = LoadFirst(row, n);
    const Lanes d1 = n > kLanes ? LoadFirst(row + kLanes, n - kLanes) : Zero();
    const real* a = x.row(t) + k;
    for (int r = 0; r < kRows; ++r) {
      const Lanes v = Set(a[r]);
      acc[r][0] = Fma(v, d0, acc[r][0]);
      acc[r][1] = Fma(v, d1, acc[r][1]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    Store(grad + (k + r) * 32, acc[r][0]);
    Store(grad + (k + r) * 32 + kLanes, acc[r][1]);
  }
}

template <int kRows>
GROUPER_INLINE void GradTiles(const RowSource& x, const real* dy, int64_t dy_stride, int64_t begin,
                              int64_t end, real* grad, int64_t k, int64_t count, int64_t column,
                              int64_t columns) {
  if constexpr (kRows > 0) {
    if (count < kRows) {
      GradTiles<kRows - 1>(x, dy, dy_stride, begin, end, grad, k, count, column, columns);
    } else {
      GradTile<kRows>(x, dy, dy_stride, begin, end, grad, k, column, columns);
    }
  }
}

// One panel of one gradient over tokens [begin, end).
__attribute__((noinline)) void GradPanel(const RowSource& x, const real* dy, int64_t dy_stride,
                                         int64_t begin, int64_t end, real* grad, int64_t in,
                                         int64_t panel, int64_t columns) {
  if (begin == end) return;
  for (int64_t k = 0; k < in; k += kTileRows) {
    const int64_t count = in - k < kTileRows ? in - k : kTileRows;
    GradTiles<kTileRows>(x, dy, dy_stride, begin, end, grad + panel * in * 32, k, count, panel * 32,
                         columns);
  }
}

}  // namespace

void Matmul(Stream& stream, const MatmulArgs& args) {
  const int64_t rows = args.x.shape[0], in = args.x.shape[1], out = args.out.shape[1];
  const int64_t panels = args.weight.shape[0];
  const RowSource source{args.x.as<real>(), args.x.row_stride, nullptr};
  const Outputs outputs{args.out.as<real>(),      args.out.row_stride,      args.bias.as<real>(),
                        args.residual.as<real>(), args.residual.row_stride, out};
  const real* weight = args.weight.as<real>();
  const int64_t per_task = RowsPerTask(in, out);
  if (rows > per_task) {
    ParallelRows(stream, rows, per_task, [&](int64_t begin, int64_t end) {
      Product(source, weight, in, outputs, begin, end, 0, panels);
    });
    return;
  }
  // Few rows of a large weight: tasks by panels.
  int64_t panels_per_task = kTaskFma / (rows * in * 32 + 1);
  if (panels_per_task < 4) panels_per_task = 4;
  ParallelRows(stream, panels, panels_per_task, [&](int64_t first, int64_t last) {
    Product(source, weight, in, outputs, 0, rows, first, last);
  });
}

void MatmulWeightGrad(Stream& stream, const MatmulWeightGradArgs& args) {
  const int64_t rows = args.x.shape[0], in = args.x.shape[1], out = args.dy.shape[1];
  const RowSource source{args.x.as<real>(), args.x.row_stride, nullptr};
  ParallelFor(stream, args.grad.shape[0], [&](int64_t panel) {
    GradPanel(source, args.dy.as<real>(), args.dy.row_stride, 0, rows, args.grad.as<real>(), in,
              panel, out);
  });
}

void GroupedMatmul(Stream& stream, const GroupedMatmulArgs& args) {
  const int64_t in = args.x.shape[1], out = args.out.shape[1];
  const int64_t experts = args.weight.shape[0], panels = args.weight.shape[1];
  const int32_t* offsets = args.offsets.as<int32_t>();
  const RowSource source{args.x.as<real>(), args.x.row_stride, args.row_index.as<int32_t>()};
  const Outputs outputs{args.out.as<real>(), args.out.row_stride, nullptr, nullptr, 0, out};
  ParallelFor(stream, experts, [&](int64_t e) {
    Product(source, args.weight.as<real>() + e * panels * in * 32, in, outputs, offsets[e],
            offsets[e + 1], 0, panels);
  });
}

void GroupedMatmulWeightGrad(Stream& stream, const GroupedMatmulWeightGradArgs& args) {
  const int64_t in = args.x.shape[1], out = args.dy.shape[1];
  const int64_t experts = args.grad.shape[0], panels = args.grad.shape[1];
  const int32_t* offsets = args.offsets.as<int32_t>();
  const RowSource source{args.x.as<real>(), args.x.row_stride, args.row_index.as<int32_t>()};
  ParallelFor(stream, experts * panels, [&](int64_t task) {
    const int64_t e = task / panels, panel = task % panels;
    GradPanel(source, args.dy.as<real>(), args.dy.row_stride, offsets[e], offsets[e + 1],
              args.grad.as<real>() + e * panels * in * 32, in, panel, out);
  });
}

void TransposePacked(Stream& stream, const TransposePackedArgs& args) {
  const int64_t in = args.in, out = args.out;
  const int64_t from_size = args.weight.shape[1] * in * 32;
  const int64_t to_size = args.transposed.shape[1] * out * 32;
  ParallelFor(stream, args.weight.shape[0], [&](int64_t e) {
    const real* from = args.weight.as<real>() + e * from_size;
    real* to = args.transposed.as<real>() + e * to_size;
    for (int64_t panel = 0; panel < args.weight.shape[1]; ++panel) {
      for (int64_t k = 0; k < in; ++k) {
        const real* row = from + (panel * in + k) * 32;
        for (int64_t c = 0; c < 32 && panel * 32 + c < out; ++c) {
          to[(k / 32 * out + panel * 32 + c) * 32 + k % 32] = row[c];
        }
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
