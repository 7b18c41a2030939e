#include "kernels/cpu/parallel.h"
#include "kernels/cpu/transpose.h"
#include "kernels/gemm/matmul.h"
#include "kernels/gemm/row_product.h"
#include "kernels/gemm/weight_gradient.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

// Work of a task: large enough to be worth a hand-over, small enough to balance.
constexpr int64_t kTaskFma = 400000;

// Panels that one task takes: a few tasks a thread.
int64_t PanelsPerTask(const Stream& stream, int64_t tasks, int64_t panels) {
  if (stream.pool == nullptr) return kGradPanels;
  const int64_t wanted = 4 * stream.pool->threads();
  const int64_t per_task = tasks * panels / wanted;
  return per_task < 1 ? 1 : per_task < kGradPanels ? per_task : kGradPanels;
}

}  // namespace

void Matmul(Stream& stream, const MatmulArgs& args) {
  const int64_t rows = args.x.shape[0], in = args.x.shape[1], out = args.out.shape[1];
  const int64_t panels = args.weight.shape[0];
  const RowSource source{args.x.as<real>(), args.x.row_stride, nullptr};
  const Outputs outputs{args.out.as<real>(),      args.out.row_stride,      args.bias.as<real>(),
                        args.residual.as<real>(), args.residual.row_stride, out};
  const real* weight = args.weight.as<real>();
  // Panels first: a task's weights pass all rows. Narrow products are cut by rows.
  const int64_t threads = stream.pool == nullptr ? 1 : stream.pool->threads();
  if (panels < 4 * threads && rows > 4 * kTileRows * threads) {
    const int64_t tiles = kTaskFma / (in * out * kTileRows + 1) + 1;
    ParallelRows(stream, rows, tiles * kTileRows, [&](int64_t begin, int64_t end) {
      Product(source, weight, in, outputs, begin, end, 0, panels);
    });
    return;
  }
  const int64_t panels_per_task = kTaskFma / (rows * in * kPanelColumns + 1) + 1;
  ParallelRows(stream, panels, panels_per_task, [&](int64_t first, int64_t last) {
    Product(source, weight, in, outputs, 0, rows, first, last);
  });
}

void MatmulWeightGrad(Stream& stream, const MatmulWeightGradArgs& args) {
  const int64_t rows = args.x.shape[0], in = args.x.shape[1], out = args.dy.shape[1];
  const RowSource source{args.x.as<real>(), args.x.row_stride, nullptr};
  const int64_t panels = args.grad.shape[0], per_task = PanelsPerTask(stream, 1, panels);
  ParallelFor(stream, (panels + per_task - 1) / per_task, [&](int64_t task) {
    const int64_t panel = task * per_task;
    const int64_t count = panels - panel < per_task ? panels - panel : per_task;
    GradPanels(source, args.dy.as<real>(), args.dy.row_stride, 0, rows, args.grad.as<real>(), in,
               panel, count, out);
  });
}

void GroupedMatmul(Stream& stream, const GroupedMatmulArgs& args) {
  const int64_t in = args.x.shape[1], out = args.out.shape[1];
  const int64_t experts = args.weight.shape[0], panels = args.weight.shape[1];
  const int32_t* offsets = args.offsets.as<int32_t>();
  const RowSource source{args.x.as<real>(), args.x.row_stride, args.row_index.as<int32_t>()};
  const Outputs outputs{args.out.as<real>(), args.out.row_stride, nullptr, nullptr, 0, out};
  ParallelFor(stream, experts, [&](int64_t e) {
    Product(source, args.weight.as<real>() + e * panels * in * kPanelColumns, in, outputs,
            offsets[e], offsets[e + 1], 0, panels);
  });
}

void GroupedMatmulWeightGrad(Stream& stream, const GroupedMatmulWeightGradArgs& args) {
  const int64_t in = args.x.shape[1], out = args.dy.shape[1];
  const int64_t experts = args.grad.shape[0], panels = args.grad.shape[1];
  const int32_t* offsets = args.offsets.as<int32_t>();
  const RowSource source{args.x.as<real>(), args.x.row_stride, args.row_index.as<int32_t>()};
  const int64_t per_task = PanelsPerTask(stream, experts, panels);
  const int64_t tasks = (panels + per_task - 1) / per_task;  // of an expert
  ParallelFor(stream, experts * tasks, [&](int64_t task) {
    const int64_t e = task / tasks, panel = task % tasks * per_task;
    const int64_t count = panels - panel < per_task ? panels - panel : per_task;
    GradPanels(source, args.dy.as<real>(), args.dy.row_stride, offsets[e], offsets[e + 1],
               args.grad.as<real>() + e * panels * in * kPanelColumns, in, panel, count, out);
  });
}

void TransposePacked(Stream& stream, const TransposePackedArgs& args) {
  const int64_t in = args.in, out = args.out;
  const int64_t from_size = args.weight.shape[1] * in * kPanelColumns;
  const int64_t to_size = args.transposed.shape[1] * out * kPanelColumns;
  ParallelFor(stream, args.weight.shape[0], [&](int64_t e) {
    const real* from = args.weight.as<real>() + e * from_size;
    real* to = args.transposed.as<real>() + e * to_size;
    for (int64_t panel = 0; panel < args.weight.shape[1]; ++panel) {
      const int64_t columns =
          out - panel * kPanelColumns < kPanelColumns ? out - panel * kPanelColumns : kPanelColumns;
      for (int64_t k = 0; k < in; k += kPanelColumns) {
        TransposeInto(from + (panel * in + k) * kPanelColumns, kPanelColumns,
                      in - k < kPanelColumns ? in - k : kPanelColumns, columns,
                      to + (k / kPanelColumns * out + panel * kPanelColumns) * kPanelColumns,
                      kPanelColumns);
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
