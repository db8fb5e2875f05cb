// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/capture.h"

#include "kernels/cuda/device.h"

namespace suffice::cuda {
namespace {

// Memory that recorded work allocates belongs to its graph, apart from the pool that other work
// takes it from. What the pool holds and nobody uses is given back first, or a step's memory would
// be held twice.
void BeginRecording(Context& context) {
  const DeviceState& state = StateOf(context);
  Check(cudaStreamSynchronize(state.stream), "graph");
  cudaMemPool_t pool = nullptr;
  Check(cudaDeviceGetDefaultMemPool(&pool, state.index), "memory pool");
  Check(cudaMemPoolTrimTo(pool, 0), "memory pool");
  Check(cudaStreamBeginCapture(state.stream, cudaStreamCaptureModeThreadLocal), "graph");
}

void* EndRecording(Context& context) {
  cudaGraph_t graph = nullptr;
  const cudaError_t status = cudaStreamEndCapture(StreamOf(context), &graph);
  if (status != cudaSuccess) {
    cudaGetLastError();
    if (graph != nullptr) cudaGraphDestroy(graph);
    Check(status, "graph");
  }
  cudaGraphExec_t executable = nullptr;
  const cudaError_t made = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  Check(made, "graph");
  return executable;
}

void Replay(Context& context, void* recording) {
  const cudaError_t status =
      cudaGraphLaunch(static_cast<cudaGraphExec_t>(recording), StreamOf(context));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    Check(cudaMemGetInfo(&free, &total), "device memory");
    throw OutOfMemory(fmt::format(
        "device memory: none for a recorded step beside {} bytes in use, {} of {} are free",
        total - free, free, total));
  }
  Check(status, "graph");
}

void FreeRecording(Context& context, void* recording) {
  const DeviceState& state = StateOf(context);
  cudaStreamSynchronize(state.stream);  // a fault shows in the next operation
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(recording));
  cudaDeviceGraphMemTrim(state.index);
}

}  // namespace

bool IsCapturing(const Context& context) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  Check(cudaStreamIsCapturing(StreamOf(context), &status), "graph");
  return status != cudaStreamCaptureStatusNone;
}

void AddCapture(Backend& table) {
  table.begin_recording = &BeginRecording;
  table.end_recording = &EndRecording;
  table.replay = &Replay;
  table.free_recording = &FreeRecording;
}

}  // namespace suffice::cuda
