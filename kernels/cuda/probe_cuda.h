// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "kernels/bench/device_probe.h"

namespace suffice::bench {

std::unique_ptr<DeviceProbe> OpenCudaProbe(Context& context);

}  // namespace suffice::bench
