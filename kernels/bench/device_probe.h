// SPDX-License-Identifier: Apache-2.0
// What timing wants of a device and the seam has not: its own clock, a cache without what the last
// repetition left there, a sequence of operations replayed without the host, and the product that
// its vendor's library does. Host backends have none: their time is the host's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace suffice::bench {

struct DeviceFacts {
  std::string name;                                 // as its maker sells it
  std::string driver;                               // empty where it is not told
  std::string toolkit_of_driver, toolkit_of_build;  // "13.0"
  int multiprocessors = 0;
  int clock_mhz = 0;  // the highest
  uint64_t memory_bytes = 0, cache_bytes = 0;
};

// When to stop repeating: at the most, or at the fewest once so many seconds have been timed.
struct Repetitions {
  int fewest = 3;
  int most = 100;
  double seconds = 2.0;
};

class DeviceProbe {
 public:
  virtual ~DeviceProbe() = default;
  virtual DeviceFacts Facts() const = 0;

  // Seconds of each repetition between two events on the context's stream; before each the whole
  // cache is overwritten, which also gives the host a start on the device. `run` must have been run
  // before: its workspace may not grow. `replay`: its operations are captured once as a graph and
  // the graph is launched, so that the gaps between small kernels are those of the device.
  virtual std::vector<double> Time(const std::function<void()>& run, const Repetitions& repetitions,
                                   bool replay) = 0;

  // c = a b^T of bf16 matrices (M, K), (N, K), (M, N) by the vendor's library: one function for
  // each way that it suggests. Valid as long as the probe and the views.
  virtual std::vector<std::function<void()>> Products(const View& a, const View& b,
                                                      const View& c) = 0;
};

std::unique_ptr<DeviceProbe> OpenDeviceProbe(Context& context);  // null for a host's backend

// The rates of a device that kernels are held against, measured when asked: they move with its
// temperature and power.
class DeviceCeilings {
 public:
  DeviceCeilings(Context& context, DeviceProbe& probe);
  ~DeviceCeilings();

  double ProductGflops();       // median, bf16, 8192 x 8192 x 8192 of normal values
  double CopyBytesPerSecond();  // median, of a copy within its memory: what is read and written

 private:
  struct Arrays;
  Context& context_;
  DeviceProbe& probe_;
  std::unique_ptr<Arrays> arrays_;
};

}  // namespace suffice::bench
