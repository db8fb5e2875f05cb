// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/backend_cuda.h"

#include <memory>

#include "kernels/cuda/attention_cuda.h"
#include "kernels/cuda/capture.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/model/model_table.h"

namespace suffice {
namespace cuda {
namespace {

constexpr int kOldest = 80;  // compute capability 8.0
constexpr int kHopperCapability = 90;

int Attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  Check(cudaDeviceGetAttribute(&value, attribute, device), "device attribute");
  return value;
}

int Capability(int device) {
  return 10 * Attribute(cudaDevAttrComputeCapabilityMajor, device) +
         Attribute(cudaDevAttrComputeCapabilityMinor, device);
}

std::optional<std::string> Unavailable(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();  // what was found out is no error of what comes next
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) return "no NVIDIA driver";
    return fmt::format("the driver is for CUDA {}.{}, this build wants {}.{}", driver / 1000,
                       driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    return "no NVIDIA GPU";
  }
  if (status != cudaSuccess) return std::string(cudaGetErrorString(status));
  if (device < 0 || device >= count) {
    return fmt::format("device {}: this machine has {}, from 0", device, count);
  }
  const int capability = Capability(device);
  if (capability < kOldest) {
    return fmt::format("device {}: compute capability {}.{}, at least 8.0 is wanted", device,
                       capability / 10, capability % 10);
  }
  return std::nullopt;
}

Path ChoosePath(const std::string& isa, int device) {
  const bool hopper = Capability(device) == kHopperCapability;
  if (isa == "sm_80") return Path::kPortable;
  if (isa == "auto") return hopper ? Path::kHopper : Path::kPortable;
  if (isa != "sm_90a") throw UsageError("isa '{}': of cuda, wanted auto, sm_80 or sm_90a", isa);
  if (!hopper) throw DeviceError("isa sm_90a: device {} is not of compute capability 9.0", device);
  return Path::kHopper;
}

void* Open(const ContextOptions& options) {
  auto state = std::make_unique<DeviceState>();
  state->index = options.device;
  state->path = ChoosePath(options.isa, options.device);
  Check(cudaSetDevice(state->index), "device");
  state->multiprocessors = Attribute(cudaDevAttrMultiProcessorCount, state->index);
  state->l2_bytes = static_cast<size_t>(Attribute(cudaDevAttrL2CacheSize, state->index));
  // Freed memory stays with the process: a training step allocates the same sizes again and again.
  cudaMemPool_t pool = nullptr;
  Check(cudaDeviceGetDefaultMemPool(&pool, state->index), "memory pool");
  uint64_t keep = UINT64_MAX;
  Check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "memory pool");
  Check(cudaStreamCreateWithFlags(&state->stream, cudaStreamNonBlocking), "stream");
  state->staging = std::make_unique<Staging>();
  return state.release();
}

void Close(void* state) {
  const std::unique_ptr<DeviceState> owned(static_cast<DeviceState*>(state));
  cudaStreamSynchronize(owned->stream);  // at the end of a context nobody is left to tell
  owned->staging.reset();
  cudaStreamDestroy(owned->stream);
}

void* Alloc(Context& context, size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMallocAsync(&memory, bytes == 0 ? 1 : bytes, StreamOf(context));
  if (status == cudaSuccess) return memory;
  cudaGetLastError();
  if (status != cudaErrorMemoryAllocation) Check(status, "device memory");
  size_t free = 0, total = 0;
  Check(cudaMemGetInfo(&free, &total), "device memory");
  throw OutOfMemory(
      fmt::format("device memory: {} bytes wanted beside {} in use, {} of {} are free", bytes,
                  total - free, free, total));
}

void Free(Context& context, void* memory) {
  cudaFreeAsync(memory, StreamOf(context));  // a fault shows in the next operation
}

bool Pinned(const void* host) {
  cudaPointerAttributes attributes{};
  Check(cudaPointerGetAttributes(&attributes, host), "copy");
  return attributes.type == cudaMemoryTypeHost;
}

// Uploads from plain memory are staged and not waited for. Everything else that a host takes part
// in is: a recording of the stream could not have it.
void Copy(Context& context, void* to, DeviceKind to_kind, const void* from, DeviceKind from_kind,
          size_t bytes) {
  const bool both = to_kind == DeviceKind::kCuda && from_kind == DeviceKind::kCuda;
  if (!both) SUFFICE_CHECK(!IsCapturing(context));
  if (from_kind != DeviceKind::kCuda && !Pinned(from)) {
    return StateOf(context).staging->Upload(to, from, bytes, StreamOf(context));
  }
  Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, StreamOf(context)), "copy");
  if (!both) Check(cudaStreamSynchronize(StreamOf(context)), "copy");
}

void* AllocPinned(Context&, size_t bytes) {
  void* memory = nullptr;
  if (cudaMallocHost(&memory, bytes == 0 ? 1 : bytes) != cudaSuccess) {
    cudaGetLastError();
    throw DeviceError("pinned host memory: {} bytes could not be allocated", bytes);
  }
  return memory;
}

void FreePinned(Context&, void* memory) { cudaFreeHost(memory); }

void Synchronize(Context& context) { Check(cudaStreamSynchronize(StreamOf(context)), "device"); }

void* Mark(Context& context, void* again) {
  auto event = static_cast<cudaEvent_t>(again);
  if (event == nullptr) Check(cudaEventCreate(&event), "event");
  Check(cudaEventRecord(event, StreamOf(context)), "event");
  return event;
}

double SecondsBetween(Context&, void* from, void* to) {
  const auto end = static_cast<cudaEvent_t>(to);
  Check(cudaEventSynchronize(end), "event");
  float milliseconds = 0;
  Check(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(from), end), "event");
  return 1e-3 * double{milliseconds};
}

void FreeMark(Context&, void* mark) { cudaEventDestroy(static_cast<cudaEvent_t>(mark)); }

std::string Describe(const Context& context) {
  return StateOf(context).path == Path::kHopper ? "cuda sm_90a" : "cuda sm_80";
}

}  // namespace

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  if (status == cudaErrorMemoryAllocation) {
    throw DeviceError("{}: {}", what, cudaGetErrorString(status));
  }
  throw RunError("cuda: {}: {}", what, cudaGetErrorString(status));
}

}  // namespace cuda

const Backend& CudaBackend() {
  static const Backend backend = [] {
    Backend table{};
    table.name = "cuda";
    table.device_kind = DeviceKind::kCuda;
    table.unavailable = &cuda::Unavailable;
    table.describe = &cuda::Describe;
    table.open = &cuda::Open;
    table.close = &cuda::Close;
    table.alloc = &cuda::Alloc;
    table.free = &cuda::Free;
    table.copy = &cuda::Copy;
    table.alloc_pinned = &cuda::AllocPinned;
    table.free_pinned = &cuda::FreePinned;
    table.synchronize = &cuda::Synchronize;
    table.mark = &cuda::Mark;
    table.seconds_between = &cuda::SecondsBetween;
    table.free_mark = &cuda::FreeMark;
    cuda::AddCapture(table);
    AddAttentionCuda(table);
    cuda::AddModelTable(table);
    return table;
  }();
  return backend;
}

}  // namespace suffice
