// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/probe_cuda.h"

#include <cublasLt.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "kernels/cuda/device.h"

namespace suffice::bench {
namespace {

using cuda::Check;

void Check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw RunError("cublasLt: {}: {}", what, cublasLtGetStatusString(status));
  }
}

// Owns a handle of CUDA's libraries.
template <class T, auto kDestroy>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T value) : value_(value) {}
  ~Handle() {
    if (value_ != nullptr) kDestroy(value_);
  }
  Handle(Handle&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  T get() const { return value_; }
  T* place() { return &value_; }

 private:
  T value_ = nullptr;
};
using Event = Handle<cudaEvent_t, &cudaEventDestroy>;
using Graph = Handle<cudaGraph_t, &cudaGraphDestroy>;
using GraphExec = Handle<cudaGraphExec_t, &cudaGraphExecDestroy>;
using LtHandle = Handle<cublasLtHandle_t, &cublasLtDestroy>;
using LtDesc = Handle<cublasLtMatmulDesc_t, &cublasLtMatmulDescDestroy>;
using LtLayout = Handle<cublasLtMatrixLayout_t, &cublasLtMatrixLayoutDestroy>;
using LtPreference = Handle<cublasLtMatmulPreference_t, &cublasLtMatmulPreferenceDestroy>;

class Memory {
 public:
  Memory(Context& context, size_t bytes)
      : context_(context), bytes_(bytes), data_(context.backend().alloc(context, bytes)) {}
  ~Memory() { context_.backend().free(context_, data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Context& context_;
  size_t bytes_;
  void* data_;
};

constexpr size_t kFlushed = size_t{256} << 20;  // at least: several times the largest L2
constexpr size_t kProductWorkspace = size_t{64} << 20;
constexpr int kSuggestions = 8;

// What one product needs for as long as it is called.
struct Product {
  LtDesc desc;
  LtLayout a, b, c;
  cublasLtMatmulAlgo_t algorithm{};
  View a_view, b_view, c_view;
};

// A row-major (M, K) matrix is a column-major (K, M) one.
LtLayout LayoutOf(const View& view) {
  LtLayout layout;
  Check(cublasLtMatrixLayoutCreate(layout.place(), CUDA_R_16BF, static_cast<uint64_t>(view.dim(1)),
                                   static_cast<uint64_t>(view.dim(0)), view.stride(0)),
        "layout");
  return layout;
}

LtDesc DescOfTransposed() {
  LtDesc desc;
  Check(cublasLtMatmulDescCreate(desc.place(), CUBLAS_COMPUTE_32F, CUDA_R_32F), "description");
  const cublasOperation_t transposed = CUBLAS_OP_T;
  Check(cublasLtMatmulDescSetAttribute(desc.get(), CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                       sizeof transposed),
        "description");
  return desc;
}

std::string Version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

// "NVRM version: NVIDIA UNIX ... Kernel Module  580.95.05  ...": the first word of numbers and
// dots. No other file or call of the runtime tells it.
std::string DriverVersion() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string word;
  while (file >> word) {
    if (word.find('.') != std::string::npos &&
        word.find_first_not_of("0123456789.") == std::string::npos) {
      return word;
    }
  }
  return "";
}

class CudaProbe final : public DeviceProbe {
 public:
  explicit CudaProbe(Context& context)
      : context_(context),
        flushed_(context, std::max(kFlushed, 4 * cuda::StateOf(context).l2_bytes)),
        workspace_(context, kProductWorkspace) {
    Check(cudaEventCreate(begin_.place()), "event");
    Check(cudaEventCreate(end_.place()), "event");
  }

  DeviceFacts Facts() const override;
  std::vector<double> Time(const std::function<void()>& run, const Repetitions& repetitions,
                           bool replay) override;
  std::vector<std::function<void()>> Products(const View& a, const View& b, const View& c) override;

 private:
  cudaStream_t stream() const { return cuda::StreamOf(context_); }
  GraphExec Capture(const std::function<void()>& run) const;
  double Once(const std::function<void()>& run) const;
  void Multiply(const Product& product) const;

  Context& context_;
  Memory flushed_, workspace_;
  Event begin_, end_;
  LtHandle lt_;
};

DeviceFacts CudaProbe::Facts() const {
  const int device = cuda::StateOf(context_).index;
  cudaDeviceProp properties{};
  Check(cudaGetDeviceProperties(&properties, device), "device properties");
  int driver = 0, runtime = 0, clock_khz = 0;
  Check(cudaDriverGetVersion(&driver), "driver version");
  Check(cudaRuntimeGetVersion(&runtime), "runtime version");
  Check(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, device), "device attribute");
  DeviceFacts facts;
  facts.name = properties.name;
  facts.driver = DriverVersion();
  facts.toolkit_of_driver = Version(driver);
  facts.toolkit_of_build = Version(runtime);
  facts.multiprocessors = properties.multiProcessorCount;
  facts.clock_mhz = clock_khz / 1000;
  facts.memory_bytes = properties.totalGlobalMem;
  facts.cache_bytes = static_cast<uint64_t>(properties.l2CacheSize);
  return facts;
}

GraphExec CudaProbe::Capture(const std::function<void()>& run) const {
  Check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "capture");
  Graph graph;
  try {
    run();
  } catch (...) {
    cudaStreamEndCapture(stream(), graph.place());  // what failed is thrown on
    cudaGetLastError();
    throw;
  }
  Check(cudaStreamEndCapture(stream(), graph.place()), "capture");
  GraphExec exec;
  Check(cudaGraphInstantiate(exec.place(), graph.get(), 0), "graph");
  Check(cudaGraphUpload(exec.get(), stream()), "graph");
  return exec;
}

// The device is still overwriting the cache while the host enqueues what is timed.
double CudaProbe::Once(const std::function<void()>& run) const {
  Check(cudaMemsetAsync(flushed_.data(), 0, flushed_.bytes(), stream()), "flush");
  Check(cudaEventRecord(begin_.get(), stream()), "event");
  run();
  Check(cudaEventRecord(end_.get(), stream()), "event");
  Check(cudaEventSynchronize(end_.get()), "timed operations");
  float milliseconds = 0.0f;
  Check(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "event");
  return 1e-3 * double{milliseconds};
}

std::vector<double> CudaProbe::Time(const std::function<void()>& run,
                                    const Repetitions& repetitions, bool replay) {
  GraphExec exec;
  std::function<void()> timed = run;
  if (replay) {
    exec = Capture(run);
    timed = [&] { Check(cudaGraphLaunch(exec.get(), stream()), "graph"); };
  }
  Once(timed);
  std::vector<double> seconds;
  double total = 0.0;
  for (int n = 0; n < repetitions.most; ++n) {
    if (n >= repetitions.fewest && total >= repetitions.seconds) break;
    seconds.push_back(Once(timed));
    total += seconds.back();
  }
  return seconds;
}

void CudaProbe::Multiply(const Product& p) const {
  const float one = 1.0f, zero = 0.0f;
  Check(cublasLtMatmul(lt_.get(), p.desc.get(), &one, p.a_view.data, p.a.get(), p.b_view.data,
                       p.b.get(), &zero, p.c_view.data, p.c.get(), p.c_view.data, p.c.get(),
                       &p.algorithm, workspace_.data(), workspace_.bytes(), stream()),
        "product");
}

// Row-major c = a b^T is column-major c^T = b a^T, where both operands come with the summed axis
// contiguous: b is the transposed first operand.
std::vector<std::function<void()>> CudaProbe::Products(const View& a, const View& b,
                                                       const View& c) {
  if (lt_.get() == nullptr) Check(cublasLtCreate(lt_.place()), "handle");
  const LtDesc desc = DescOfTransposed();
  const LtLayout first = LayoutOf(b), second = LayoutOf(a), out = LayoutOf(c);
  LtPreference preference;
  Check(cublasLtMatmulPreferenceCreate(preference.place()), "preference");
  const size_t bytes = workspace_.bytes();
  Check(cublasLtMatmulPreferenceSetAttribute(
            preference.get(), CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes),
        "preference");
  cublasLtMatmulHeuristicResult_t found[kSuggestions];
  int count = 0;
  Check(cublasLtMatmulAlgoGetHeuristic(lt_.get(), desc.get(), first.get(), second.get(), out.get(),
                                       out.get(), preference.get(), kSuggestions, found, &count),
        "suggestions");
  std::vector<std::function<void()>> products;
  for (int i = 0; i < count; ++i) {
    if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
    auto product = std::make_shared<Product>(
        Product{DescOfTransposed(), LayoutOf(b), LayoutOf(a), LayoutOf(c), found[i].algo, b, a, c});
    products.push_back([this, product] { Multiply(*product); });
  }
  if (products.empty()) throw RunError("cublasLt: no algorithm for a bf16 product");
  return products;
}

}  // namespace

std::unique_ptr<DeviceProbe> OpenCudaProbe(Context& context) {
  return std::make_unique<CudaProbe>(context);
}

}  // namespace suffice::bench
