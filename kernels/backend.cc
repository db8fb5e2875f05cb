// SPDX-License-Identifier: Apache-2.0
#include "kernels/backend.h"

#include <algorithm>

#include "kernels/cpu/backend_cpu.h"
#ifdef SUFFICE_HAVE_CUDA
#include "kernels/cuda/backend_cuda.h"
#endif
#include "kernels/ref/backend_ref.h"

namespace suffice {
namespace {

std::vector<const Backend*>& Registry() {
  static std::vector<const Backend*> backends = {
#ifdef SUFFICE_HAVE_CUDA
      &CudaBackend(),
#endif
      &CpuBackend(), &RefBackend()};
  return backends;
}

constexpr CpuIsa kIsas[] = {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16};

CpuIsa ChooseIsa(const std::string& name) {
  const CpuIsa best = BestCpuIsa();
  if (name == "auto") return best;
  for (const CpuIsa isa : kIsas) {
    if (name != NameOf(isa)) continue;
    if (isa > best) {
      throw DeviceError("isa {}: this processor's best is {}", name, NameOf(best));
    }
    return isa;
  }
  throw UsageError("isa '{}': wanted auto, portable, avx2, avx512 or avx512bf16", name);
}

}  // namespace

const char* NameOf(CpuIsa isa) {
  static constexpr const char* kNames[] = {"portable", "avx2", "avx512", "avx512bf16"};
  return kNames[static_cast<size_t>(isa)];
}

CpuIsa BestCpuIsa() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) return CpuIsa::kAvx512Bf16;
  if (avx512) return CpuIsa::kAvx512;
  if (avx2) return CpuIsa::kAvx2;
#endif
  return CpuIsa::kPortable;
}

std::vector<const Backend*> Backends() { return Registry(); }

void RegisterBackend(const Backend* backend) {
  std::vector<const Backend*>& backends = Registry();
  if (std::find(backends.begin(), backends.end(), backend) == backends.end()) {
    backends.push_back(backend);
  }
}

Context::Context(const ContextOptions& options) : device_index_(options.device) {
  std::string known;
  for (const Backend* backend : Registry()) {
    known += (known.empty() ? "" : ", ") + std::string(backend->name);
    const bool asked = options.backend == backend->name;
    if (!asked && options.backend != "auto") continue;
    auto reason = backend->unavailable(options.device);
    if (asked && reason) throw DeviceError("backend {}: {}", options.backend, *reason);
    if (reason) {
      passed_over_ +=
          fmt::format("{}{}: {}", passed_over_.empty() ? "" : "; ", backend->name, *reason);
      continue;
    }
    backend_ = backend;
    break;
  }
  if (backend_ == nullptr && options.backend == "cuda") {
    throw DeviceError("backend cuda: not in this build");
  }
  if (backend_ == nullptr) {
    throw UsageError("backend '{}': this build has auto, {}", options.backend, known);
  }
  if (backend_->device_kind == DeviceKind::kHost && options.device != 0) {
    throw DeviceError("backend {}: device {}: it has device 0 alone", backend_->name,
                      options.device);
  }
  const bool host = backend_->device_kind == DeviceKind::kHost;
  isa_ = ChooseIsa(host ? options.isa : "auto");
  pool_ = std::make_unique<ThreadPool>(options.threads);
  if (backend_->open != nullptr) state_ = backend_->open(options);
}

Context::~Context() {
  profile_.reset();
  if (workspace_ != nullptr) backend_->free(*this, workspace_);
  if (backend_->close != nullptr) backend_->close(state_);
}

void Context::StartProfile() { profile_ = std::make_unique<OperationProfile>(*this); }

void* Context::Workspace(size_t bytes) {
  if (bytes > workspace_bytes_) {
    backend_->synchronize(*this);
    if (workspace_ != nullptr) backend_->free(*this, workspace_);
    workspace_ = nullptr;
    workspace_bytes_ = 0;
    workspace_ = backend_->alloc(*this, bytes);
    workspace_bytes_ = bytes;
  }
  return workspace_;
}

namespace internal {

void ThrowUnsupported(const Context& context, const char* operation, const std::string& reason) {
  throw DeviceError("{}: backend {}: {}", operation, context.backend().name, reason);
}

}  // namespace internal
}  // namespace suffice
