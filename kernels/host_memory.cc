// SPDX-License-Identifier: Apache-2.0
#include "kernels/host_memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/attention_check.h"

namespace suffice {
namespace {

// Large tensors ask for huge pages: sparse attention jumps from block to block, and with pages of
// 4 KiB each jump would wait for several page walks.
void* Allocate(Context&, size_t bytes) {
  constexpr size_t kLine = 64, kHugePage = size_t{2} << 20;
  const bool large = bytes >= 2 * kHugePage;
  const size_t alignment = large ? kHugePage : kLine;
  const size_t rounded = (std::max(bytes, kLine) + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) {
    throw OutOfMemory(fmt::format("host memory: {} bytes could not be allocated", bytes));
  }
#if defined(MADV_HUGEPAGE)
  if (large) madvise(memory, rounded, MADV_HUGEPAGE);  // advice: a refusal changes nothing
#endif
  return memory;
}

void Free(Context&, void* memory) { std::free(memory); }

void Copy(Context&, void* to, DeviceKind, const void* from, DeviceKind, size_t bytes) {
  std::memcpy(to, from, bytes);
}

void Synchronize(Context&) {}

void CountPairs(Context&, const CountPairsParams& p, void*) {
  const int64_t t_q = BlockCount(p.n_q, p.block.q);
  const auto* const ptr = p.rows.ptr.ptr<int64_t>();
  const auto* const ids = p.rows.ids.ptr<uint16_t>();
  int64_t kept = 0;
  for (int64_t row = 0; row + 1 < p.rows.ptr.dim(0); ++row) {
    for (int64_t entry = ptr[row]; entry < ptr[row + 1]; ++entry) {
      kept += PairsOf(row % t_q, ids[entry], p.n_q, p.n_k, p.block, p.mask);
    }
  }
  auto& total = *p.total.ptr<int64_t>();
  total = (p.accumulate ? total : 0) + kept;
}

}  // namespace

Backend HostBackend(const char* name) {
  Backend backend{};
  backend.name = name;
  backend.device_kind = DeviceKind::kHost;
  backend.unavailable = [](int) -> std::optional<std::string> { return std::nullopt; };
  backend.describe = [](const Context& context) { return std::string(context.backend().name); };
  backend.alloc = &Allocate;
  backend.free = &Free;
  backend.copy = &Copy;
  backend.alloc_pinned = &Allocate;
  backend.free_pinned = &Free;
  backend.synchronize = &Synchronize;
  backend.count_pairs = {
      &Validate, [](const Context&, const CountPairsParams&) { return size_t{0}; }, &CountPairs};
  return backend;
}

}  // namespace suffice
