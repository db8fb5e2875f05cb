// SPDX-License-Identifier: Apache-2.0
#include "kernels/host_memory.h"

#include <cstdlib>
#include <cstring>

namespace suffice {
namespace {

void* Allocate(Context&, size_t bytes) {
  constexpr size_t kAlignment = 64;
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, rounded == 0 ? kAlignment : rounded);
  if (memory == nullptr) throw DeviceError("host memory: {} bytes could not be allocated", bytes);
  return memory;
}

void Free(Context&, void* memory) { std::free(memory); }

void Copy(Context&, void* to, DeviceKind, const void* from, DeviceKind, size_t bytes) {
  std::memcpy(to, from, bytes);
}

void Synchronize(Context&) {}

}  // namespace

Backend HostBackend(const char* name) {
  Backend backend{};
  backend.name = name;
  backend.device_kind = DeviceKind::kHost;
  backend.unavailable = []() -> std::optional<std::string> { return std::nullopt; };
  backend.describe = [](const Context& context) { return std::string(context.backend().name); };
  backend.alloc = &Allocate;
  backend.free = &Free;
  backend.copy = &Copy;
  backend.alloc_pinned = &Allocate;
  backend.free_pinned = &Free;
  backend.synchronize = &Synchronize;
  return backend;
}

}  // namespace suffice
