// SPDX-License-Identifier: Apache-2.0
// Preloaded into a tool, this takes its GPU away on the way: once the file that SUFFICE_FAULT_AFTER
// names is there, a kernel traps. To the process that is what a card with a memory error or one that
// fell off its bus is: every later call of CUDA fails.
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace {

__global__ void Fault() { asm volatile("trap;"); }

void FaultAfter(const char* path) {
  while (access(path, F_OK) != 0) usleep(1000);
  cudaSetDevice(0);  // its primary context is the tool's too
  Fault<<<1, 1>>>();
  cudaDeviceSynchronize();
}

[[gnu::constructor]] void Start() {
  if (const char* path = std::getenv("SUFFICE_FAULT_AFTER")) std::thread(FaultAfter, path).detach();
}

}  // namespace
