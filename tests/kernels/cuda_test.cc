// SPDX-License-Identifier: Apache-2.0
// What the CUDA backend promises beyond agreeing with the reference: rows and columns that keep
// everything, the same bits every time, work that a CUDA graph can hold. On a machine without a
// usable GPU these tests are skipped, and say so.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "kernels/cuda/backend_cuda.h"
#include "kernels/cuda/device.h"
#include "lib/base/philox.h"
#include "lib/tensor/block_lists.h"
#include "tests/kernels/attention_cases.h"

namespace suffice::testing {
namespace {

class Cuda : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (const auto reason = CudaBackend().unavailable(0)) GTEST_SKIP() << *reason;
    try {
      context_ = std::make_unique<Context>(ContextOptions{.backend = "cuda", .isa = GetParam()});
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  void ExpectTheReferencesResults(const AttentionProblem& problem) {
    Context reference({.backend = "ref"});
    const AttentionResult expected = RunAttention(reference, problem, true);
    const AttentionResult found = RunAttention(*context_, problem, true);
    const double floor = GradientFloor(problem);
    EXPECT_LE(RelativeL2(found.o, expected.o), 4e-3);
    EXPECT_LE(RelativeL2(found.lse, expected.lse), 2e-6);
    EXPECT_LE(RelativeL2(found.dq, expected.dq, floor), 8e-3);
    EXPECT_LE(RelativeL2(found.dk, expected.dk, floor), 8e-3);
    EXPECT_LE(RelativeL2(found.dv, expected.dv), 8e-3);
  }
  std::unique_ptr<Context> context_;
};

// Long rows are cut into chunks and merged.
constexpr AttentionCase kSinkCase = {.name = "sinks",
                                     .batch = 1,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .n_q = 16'450,
                                     .n_k = 16'450,
                                     .dim = 64,
                                     .block = {128, 64},
                                     .lists = CaseLists::kSinks};

TEST_P(Cuda, RowsAndColumnsThatKeepEverythingAgreeWithTheReference) {
  for (const BlockSize block : {BlockSize{128, 64}, BlockSize{64, 64}, BlockSize{128, 128}}) {
    AttentionCase c = kSinkCase;
    c.block = block;
    const AttentionProblem problem = MakeProblem(c, DType::kBF16);
    ExpectTheReferencesResults(problem);
  }
}

// The y and z axes of a grid end at 65,535.
TEST_P(Cuda, MoreSequencesThanAGridIsHigh) {
  const AttentionCase c = {.name = "sequences",
                           .batch = 4100,
                           .heads = 16,
                           .kv_heads = 8,
                           .n_q = 1,
                           .n_k = 2,
                           .dim = 64,
                           .block = {128, 64},
                           .lists = CaseLists::kAll};
  const AttentionProblem problem = MakeProblem(c, DType::kBF16);
  ExpectTheReferencesResults(problem);
}

// One attention with everything before it on the device: pooled, selected, attended, and the
// gradient.
struct Layer {
  static constexpr int64_t kHeads = 2, kN = 3000, kDim = 128;
  static constexpr BlockSize kBlock = {128, 64};

  explicit Layer(Context& context)
      : lists(context, kHeads * t_q, kHeads * t_k, kHeads * t_q * t_k, true) {
    const Shape shape = {1, kHeads, kN, kDim};
    uint32_t which = 0;
    for (Tensor* x : {&q, &k, &v, &d_o}) {
      HostArray values(DType::kF32, shape);
      uint64_t i = 0;
      for (float& value : values.values<float>()) value = NormalAt(3, which, i++);
      ++which;
      *x = Tensor::FromHost(context, values.Cast(DType::kBF16));
    }
    for (Tensor* x : {&o, &dq, &dk, &dv}) *x = Tensor(context, DType::kBF16, shape);
    lse = Tensor(context, DType::kF32, {1, kHeads, kN});
    q_pooled = Tensor(context, DType::kF32, {1, kHeads, t_q, kDim});
    k_pooled = Tensor(context, DType::kF32, {1, kHeads, t_k, kDim});
  }

  void Run(Context& context) const {
    context.Run(PoolParams{q, q_pooled, kBlock.q});
    context.Run(PoolParams{k, k_pooled, kBlock.k});
    context.Run(SelectParams{.q_pooled = q_pooled,
                             .k_pooled = k_pooled,
                             .scale = kScale,
                             .n_q = kN,
                             .n_k = kN,
                             .block = kBlock,
                             .setting = {100'000, 300'000},
                             .rows = lists.rows(),
                             .columns = lists.columns()});
    context.Run(AttendParams{q, k, v, o, lse, lists.rows(), kScale, kBlock});
    context.Run(AttendBackwardParams{q, k, v, o, lse, d_o, dq, dk, dv, lists.rows(),
                                     lists.columns(), kScale, kBlock});
  }

  std::vector<std::byte> Results() const {
    std::vector<std::byte> bytes;
    for (const Tensor* x : {&o, &lse, &dq, &dk, &dv}) {
      const HostArray host = x->ToHost();
      bytes.insert(bytes.end(), host.data(), host.data() + host.bytes());
    }
    return bytes;
  }

  static constexpr float kScale = 0.088f;
  static constexpr int64_t t_q = BlockCount(kN, kBlock.q), t_k = BlockCount(kN, kBlock.k);
  ListStorage lists;
  Tensor q, k, v, d_o, o, lse, dq, dk, dv, q_pooled, k_pooled;
};

TEST_P(Cuda, AThousandRunsGiveTheSameBits) {
  const Layer layer(*context_);
  layer.Run(*context_);
  const std::vector<std::byte> expected = layer.Results();
  for (int i = 0; i < 1000; ++i) {
    layer.Run(*context_);
    if (i % 10 == 9) {
      ASSERT_EQ(layer.Results(), expected) << "run " << i;
    }
  }
}

TEST_P(Cuda, AGraphHoldsALayerAndItsGradient) {
  const Layer layer(*context_);
  layer.Run(*context_);  // takes the workspace, which a capture must not
  const std::vector<std::byte> expected = layer.Results();
  for (const Tensor* x : {&layer.o, &layer.dq, &layer.dk, &layer.dv, &layer.lse}) {
    context_->backend().synchronize(*context_);
    cudaMemset(x->view().data, 0xFF, x->view().bytes());
  }
  const cudaStream_t stream = cuda::StreamOf(*context_);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  layer.Run(*context_);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
  EXPECT_EQ(layer.Results(), expected);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

TEST_P(Cuda, MemoryThatIsNotThereIsADeviceErrorThatSaysHowMuch) {
  try {
    const Tensor tensor(*context_, DType::kF32, {int64_t{1} << 45});
    FAIL() << "128 TiB were allocated";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kDevice);
    EXPECT_NE(std::string(error.what()).find("bytes wanted"), std::string::npos) << error.what();
  }
  const Layer layer(*context_);  // and the device goes on
  layer.Run(*context_);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Cuda, ::testing::Values("sm_80", "sm_90a"),
                         [](const auto& test) { return std::string(test.param); });

// These need no GPU.
TEST(CublasLt, IsLoadedWhenItIsCalled) {
  EXPECT_STREQ(cublasLtGetStatusString(CUBLAS_STATUS_SUCCESS), "success");
}

TEST(CudaBackend, ADeviceThatIsNotThereIsNamed) {
  const auto reason = CudaBackend().unavailable(1023);
  ASSERT_TRUE(reason.has_value());
  EXPECT_FALSE(reason->empty());
  try {
    const Context context({.backend = "cuda", .device = 1023});
    FAIL() << "device 1023 was opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kDevice);
    EXPECT_EQ(std::string(error.what()), "backend cuda: " + *reason);
  }
}

TEST(CudaBackend, AutoSaysWhyItPassedOver) {
  const Context context({.backend = "auto", .threads = 1});
  const auto reason = CudaBackend().unavailable(0);
  EXPECT_EQ(context.passed_over(), reason ? "cuda: " + *reason : "");
}

}  // namespace
}  // namespace suffice::testing
