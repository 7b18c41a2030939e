#include "policy/checkpoint/file_tensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "base/error.h"
#include "proto/textproto.h"

namespace grouper {
namespace {

PolicyConfig Config() {
  PolicyConfig config;
  MergeTextproto(
      "vocab_size: 9 width: 8 layers: 2 dense_layers: 1 dense_width: 12 max_positions: 32 "
      "attention { heads: 4 kv_heads: 2 head_dim: 4 } "
      "moe { experts: 4 experts_per_token: 2 width: 6 shared_width: 5 }",
      "test policy", &config);
  return config;
}

template <typename T>
void WhatIsWrittenIsReadBack(DType dtype) {
  Weights weights(Config(), dtype);
  const FileTensors form(weights);
  std::vector<std::vector<T>> written;
  T next = 1;
  for (const FileTensor& tensor : form.tensors()) {
    written.emplace_back(static_cast<size_t>(tensor.elements()));
    ASSERT_EQ(form.FileBytes(tensor), written.back().size() * sizeof(T));
    std::iota(written.back().begin(), written.back().end(), next);
    next += static_cast<T>(tensor.elements());
    form.Write(tensor, written.back().data(), &weights);
  }
  // All are read after all were written: no tensor lies on another.
  for (size_t i = 0; i < written.size(); ++i) {
    const FileTensor& tensor = form.tensors()[i];
    std::vector<T> read(written[i].size());
    form.Read(tensor, weights, read.data());
    EXPECT_EQ(read, written[i]) << tensor.name;
    if (i == 0) continue;
    EXPECT_LT(form.tensors()[i - 1].name, tensor.name);
  }
}

TEST(FileTensors, WhatIsWrittenIsReadBack) {
  WhatIsWrittenIsReadBack<float>(DType::kFloat32);
  WhatIsWrittenIsReadBack<double>(DType::kFloat64);
}

TEST(FileTensors, AFlatBufferHoldsAllButTheRouterBias) {
  Weights weights(Config(), DType::kFloat32);
  const FileTensors form(weights);
  Buffer moments(weights.flat_bytes());
  std::memset(moments.data(), 0x3f, moments.bytes());
  int64_t biases = 0;
  for (const FileTensor& tensor : form.tensors()) {
    std::vector<float> file(static_cast<size_t>(tensor.elements()), 2.0f), read = file;
    if (tensor.router_bias) {
      ++biases;
      EXPECT_THROW(form.Read(tensor, moments, read.data()), Error);
      EXPECT_THROW(form.Write(tensor, file.data(), &moments), Error);
      continue;
    }
    form.Write(tensor, file.data(), &moments);
    form.Read(tensor, moments, read.data());
    EXPECT_EQ(read, file) << tensor.name;
  }
  EXPECT_EQ(biases, MoeLayers(Config()));
}

TEST(FileTensors, TheDigestSeesEveryTensor) {
  Weights weights(Config(), DType::kFloat32);
  const FileTensors form(weights);
  std::string before = WeightsSha256(weights);
  for (const FileTensor& tensor : form.tensors()) {
    std::vector<float> file(static_cast<size_t>(tensor.elements()));
    file.back() = 1;
    form.Write(tensor, file.data(), &weights);
    const std::string after = WeightsSha256(weights);
    EXPECT_NE(after, before) << tensor.name;
    before = after;
  }
}

}  // namespace
}  // namespace grouper
