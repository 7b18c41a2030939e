#include "kernels/cpu/parallel.h"
#include "kernels/cpu/transpose.h"
#include "kernels/gemm/matmul.h"
#include "kernels/gemm/row_product.h"
#include "kernels/gemm/weight_gradient.h"

namespace grouper::cpu::GROUPER_VARIANT {
namespace {

// Multiply-adds of a task: enough to be worth handing to a thread, few enough to balance.
constexpr int64_t kTaskFma = 400000;

// Panels of a gradient that one task takes: a few tasks for each thread.
int64_t PanelsPerTask(const Stream& stream, int64_t gradients, int64_t panels) {
  if (stream.pool == nullptr) return kGradPanels;
  const int64_t wanted = 4 * stream.pool->threads();
  const int64_t per_task = gradients * panels / wanted;
  return per_task < 1 ? 1 : per_task < kGradPanels ? per_task : kGradPanels;
}

// Tasks over the panels of each gradient: body(gradient, panels).
template <typename Body>
GROUPER_INLINE void EachPanelGroup(Stream& stream, int64_t gradients, int64_t panels, Body&& body) {
  const int64_t per_task = PanelsPerTask(stream, gradients, panels);
  const int64_t tasks = (panels + per_task - 1) / per_task;  // of a gradient
  ParallelFor(stream, gradients * tasks, [&](int64_t task) {
    const int64_t first = task % tasks * per_task;
    body(task / tasks, Range{first, panels - first < per_task ? panels : first + per_task});
  });
}

}  // namespace

void Matmul(Stream& stream, const MatmulArgs& args) {
  const int64_t rows = args.x.shape[0], in = args.x.shape[1], out = args.out.shape[1];
  const int64_t panels = args.weight.shape[0];
  const ProductArgs product{.x = {args.x.as<real>(), args.x.row_stride, nullptr},
                            .weight = args.weight.as<real>(),
                            .in = in,
                            .out = {.out = args.out.as<real>(),
                                    .stride = args.out.row_stride,
                                    .bias = args.bias.as<real>(),
                                    .residual = args.residual.as<real>(),
                                    .residual_stride = args.residual.row_stride,
                                    .columns = out}};
  // A task takes some panels and all rows, so that its weights pass once. A narrow product has too
  // few panels for the threads: there a task takes some rows and all panels.
  const int64_t threads = stream.pool == nullptr ? 1 : stream.pool->threads();
  if (panels < 4 * threads && rows > 4 * kTileRows * threads) {
    const int64_t tiles = kTaskFma / (in * out * kTileRows + 1) + 1;
    ParallelRows(stream, rows, tiles * kTileRows, [&](int64_t begin, int64_t end) {
      Product(product, {begin, end}, {0, panels});
    });
    return;
  }
  const int64_t panels_per_task = kTaskFma / (rows * in * kPanelColumns + 1) + 1;
  ParallelRows(stream, panels, panels_per_task, [&](int64_t begin, int64_t end) {
    Product(product, {0, rows}, {begin, end});
  });
}

void MatmulWeightGrad(Stream& stream, const MatmulWeightGradArgs& args) {
  const GradArgs gradient{.x = {args.x.as<real>(), args.x.row_stride, nullptr},
                          .dy = args.dy.as<real>(),
                          .dy_stride = args.dy.row_stride,
                          .grad = args.grad.as<real>(),
                          .in = args.x.shape[1],
                          .out = args.dy.shape[1]};
  EachPanelGroup(stream, 1, args.grad.shape[0], [&](int64_t, Range panels) {
    GradPanels(gradient, {0, args.x.shape[0]}, panels);
  });
}

void GroupedMatmul(Stream& stream, const GroupedMatmulArgs& args) {
  const int64_t in = args.x.shape[1], panels = args.weight.shape[1];
  const int32_t* offsets = args.offsets.as<int32_t>();
  ParallelFor(stream, args.weight.shape[0], [&](int64_t e) {
    const ProductArgs product{
        .x = {args.x.as<real>(), args.x.row_stride, args.row_index.as<int32_t>()},
        .weight = args.weight.as<real>() + e * panels * in * kPanelColumns,
        .in = in,
        .out = {.out = args.out.as<real>(),
                .stride = args.out.row_stride,
                .bias = nullptr,
                .residual = nullptr,
                .residual_stride = 0,
                .columns = args.out.shape[1]}};
    Product(product, {offsets[e], offsets[e + 1]}, {0, panels});
  });
}

void GroupedMatmulWeightGrad(Stream& stream, const GroupedMatmulWeightGradArgs& args) {
  const int64_t in = args.x.shape[1], experts = args.grad.shape[0], panels = args.grad.shape[1];
  const int32_t* offsets = args.offsets.as<int32_t>();
  EachPanelGroup(stream, experts, panels, [&](int64_t e, Range group) {
    const GradArgs gradient{
        .x = {args.x.as<real>(), args.x.row_stride, args.row_index.as<int32_t>()},
        .dy = args.dy.as<real>(),
        .dy_stride = args.dy.row_stride,
        .grad = args.grad.as<real>() + e * panels * in * kPanelColumns,
        .in = in,
        .out = args.dy.shape[1]};
    GradPanels(gradient, {offsets[e], offsets[e + 1]}, group);
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
      const int64_t column = panel * kPanelColumns;
      const int64_t columns = out - column < kPanelColumns ? out - column : kPanelColumns;
      for (int64_t k = 0; k < in; k += kPanelColumns) {
        const int64_t rows = in - k < kPanelColumns ? in - k : kPanelColumns;
        TransposeInto(from + (panel * in + k) * kPanelColumns, kPanelColumns, rows, columns,
                      to + (k / kPanelColumns * out + column) * kPanelColumns, kPanelColumns);
      }
    }
  });
}

}  // namespace grouper::cpu::GROUPER_VARIANT
