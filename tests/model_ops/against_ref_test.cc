// SPDX-License-Identifier: Apache-2.0
// Every operation on every case: cpu (each instruction set of this machine) and cuda (where there
// is a usable GPU) against ref, the same bits for any number of threads and from run to run.
#include <gtest/gtest.h>

#include "tests/model_ops/cases.h"

namespace suffice::testing {
namespace {

// Relative L2 at input scale 1. fp32 results of a bf16 run (block means) see a value that lies at
// the middle of two bf16 numbers rounded the other way.
double Bound(DType run, DType buffer) {
  if (run == DType::kF32) return buffer == DType::kF32 ? 2e-6 : 4e-3;
  return buffer == DType::kF32 ? 1e-4 : 4e-3;
}

std::vector<HostArray> RunCase(const OpCase& op, const ContextOptions& options, DType dtype) {
  Context context(options);
  Rig rig(context, dtype);
  op.run(rig);
  return rig.Buffers();
}

// Why tests of the cuda backend cannot run here; empty if they can.
std::string WhyNoGpu() {
  for (const Backend* backend : Backends()) {
    if (std::string(backend->name) != "cuda") continue;
    return backend->unavailable(0).value_or("");
  }
  return "this build has no cuda backend";
}

void ExpectClose(const std::vector<HostArray>& found, const std::vector<HostArray>& wanted,
                 DType dtype, const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_LE(RelativeError(found[i], wanted[i]), Bound(dtype, wanted[i].dtype()))
        << what << ", buffer " << i;
  }
}

void ExpectSameBits(const std::vector<HostArray>& found, const std::vector<HostArray>& wanted,
                    const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_TRUE(SameBits(found[i], wanted[i])) << what << ", buffer " << i;
  }
}

class ModelOps : public ::testing::TestWithParam<DType> {};

TEST_P(ModelOps, CpuAgreesWithRef) {
  for (const OpCase& op : OpCases()) {
    const std::vector<HostArray> wanted = RunCase(op, {.backend = "ref"}, GetParam());
    for (int isa = 0; isa <= static_cast<int>(BestCpuIsa()); ++isa) {
      const char* name = NameOf(static_cast<CpuIsa>(isa));
      ExpectClose(RunCase(op, {.backend = "cpu", .isa = name, .threads = 2}, GetParam()), wanted,
                  GetParam(), fmt::format("{}, {}, {}", op.name, NameOf(GetParam()), name));
    }
  }
}

TEST_P(ModelOps, AnyNumberOfThreadsGivesTheSameBits) {
  for (const OpCase& op : OpCases()) {
    const std::vector<HostArray> wanted = RunCase(op, {.backend = "cpu", .threads = 1}, GetParam());
    for (const int threads : {2, 5}) {
      ExpectSameBits(RunCase(op, {.backend = "cpu", .threads = threads}, GetParam()), wanted,
                     fmt::format("{}, {} threads", op.name, threads));
    }
  }
}

TEST_P(ModelOps, NoiseIsTheSameBitsOnTheCpu) {
  for (const OpCase& op : OpCases()) {
    if (op.name != "normal fill") continue;
    ExpectSameBits(RunCase(op, {.backend = "cpu"}, GetParam()),
                   RunCase(op, {.backend = "ref"}, GetParam()), op.name);
  }
}

TEST_P(ModelOps, CudaAgreesWithRef) {
  if (const std::string reason = WhyNoGpu(); !reason.empty()) {
    GTEST_SKIP() << "no usable GPU: " << reason;
  }
  for (const OpCase& op : OpCases()) {
    ExpectClose(RunCase(op, {.backend = "cuda"}, GetParam()),
                RunCase(op, {.backend = "ref"}, GetParam()), GetParam(),
                fmt::format("{}, {}, cuda", op.name, NameOf(GetParam())));
  }
}

TEST_P(ModelOps, CudaGivesTheSameBitsTwice) {
  if (const std::string reason = WhyNoGpu(); !reason.empty()) {
    GTEST_SKIP() << "no usable GPU: " << reason;
  }
  for (const OpCase& op : OpCases()) {
    ExpectSameBits(RunCase(op, {.backend = "cuda"}, GetParam()),
                   RunCase(op, {.backend = "cuda"}, GetParam()), op.name);
  }
}

TEST_P(ModelOps, NoiseIsTheSameBitsOnTheGpu) {
  if (const std::string reason = WhyNoGpu(); !reason.empty()) {
    GTEST_SKIP() << "no usable GPU: " << reason;
  }
  for (const OpCase& op : OpCases()) {
    if (op.name != "normal fill") continue;
    ExpectSameBits(RunCase(op, {.backend = "cuda"}, GetParam()),
                   RunCase(op, {.backend = "ref"}, GetParam()), op.name);
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, ModelOps, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& dtype) { return std::string(NameOf(dtype.param)); });

TEST(ModelOpsCheck, ReasonsNameTheOperand) {
  Context context({.backend = "cpu", .threads = 1});
  Rig r(context, DType::kF32);
  const auto reason = [&](const auto& params) {
    try {
      context.Run(params);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kDevice);
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(reason(LinearParams{.a = r.In({2, 3}), .b = r.In({4, 5}), .out = r.Out({2, 5})}),
            "linear: backend cpu: b: shape (4, 5), wanted (3, 5)");
  EXPECT_EQ(reason(LinearParams{.a = r.In({2, 3}), .b = r.In({3, 5}), .out = r.Ids({1})}),
            "linear: backend cpu: out: dtype i32, wanted f32 or bf16");
  EXPECT_EQ(reason(SumRowsParams{.x = r.In({5, 3}), .out = r.Out({2, 3})}),
            "sum_rows: backend cpu: out: shape (2, 3), wanted (G, 3) with 5 a multiple of G");
  EXPECT_EQ(reason(SiluParams{.x = r.In({4, 4}).transpose(0, 1), .out = r.Out({4, 4})}),
            "silu: backend cpu: x, out, dy: not contiguous");
  EXPECT_EQ(reason(PatchifyParams{
                .video = r.In({1, 1, 3, 4, 4}), .tokens = r.Out({1, 1, 32}), .patch = {2, 4, 4}}),
            "patchify: backend cpu: video: not a whole number of patches");
  View elsewhere = r.In({4});
  elsewhere.device = {DeviceKind::kCuda, 0};
  EXPECT_EQ(reason(FillParams{.out = elsewhere}),
            "fill: backend cpu: an operand on another device");
}

}  // namespace
}  // namespace suffice::testing
