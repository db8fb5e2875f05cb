// SPDX-License-Identifier: Apache-2.0
// What a context of the CUDA backend keeps of its device.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/staging.h"

namespace suffice::cuda {

// The fastest family of kernels that a context may use. A lower one runs on every higher device;
// `isa` chooses it by name.
enum class Path : uint8_t {
  kPortable,  // sm_80 on: mma.sync and cp.async
  kHopper,    // sm_90a: wgmma, TMA, mbarriers
};

class Matmuls;

struct DeviceState {
  int index = 0;
  cudaStream_t stream = nullptr;
  int multiprocessors = 0;
  size_t l2_bytes = 0;
  Path path = Path::kPortable;
  mutable std::shared_ptr<Matmuls> matmuls;  // made for the first product
  std::unique_ptr<Staging> staging;          // of uploads
};

inline const DeviceState& StateOf(const Context& context) {
  return *static_cast<const DeviceState*>(context.state());
}
inline DeviceState& StateOf(Context& context) {
  return *static_cast<DeviceState*>(context.state());
}
inline cudaStream_t StreamOf(const Context& context) { return StateOf(context).stream; }

}  // namespace suffice::cuda
