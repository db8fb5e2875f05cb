// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/fake_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "kernels/ref/backend_ref.h"

namespace suffice::testing {
namespace {

// The device's memory: readable while at least one Access lives.
class Memory {
 public:
  static Memory& Get() {
    static Memory memory;
    return memory;
  }

  void* Allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t size = (bytes / page + 1) * page;
    void* data = mmap(nullptr, size, Protection(), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw DeviceError("fake device: {} bytes could not be mapped", bytes);
    pieces_[data] = size;
    return data;
  }

  void Free(void* data) {
    const std::lock_guard lock(mutex_);
    const auto piece = pieces_.find(data);
    SUFFICE_CHECK(piece != pieces_.end());
    munmap(data, piece->second);
    pieces_.erase(piece);
  }

  void Open(int change) {
    const std::lock_guard lock(mutex_);
    open_ += change;
    for (const auto& [data, size] : pieces_) SUFFICE_CHECK(mprotect(data, size, Protection()) == 0);
  }

 private:
  int Protection() const { return open_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE; }

  std::mutex mutex_;
  std::map<void*, size_t> pieces_;
  int open_ = 0;
};

struct Access {
  Access() { Memory::Get().Open(1); }
  ~Access() { Memory::Get().Open(-1); }
};

template <class Params>
struct Wrapped {
  static const Operation<Params>& Inner() { return RefBackend().*OperationTraits<Params>::kMember; }
  static std::optional<std::string> Supports(const Context& context, const Params& params) {
    return Inner().supports(context, params);
  }
  static size_t WorkspaceBytes(const Context& context, const Params& params) {
    return Inner().workspace_bytes(context, params);
  }
  static void Run(Context& context, const Params& params, void* workspace) {
    const Access access;
    Inner().run(context, params, workspace);
  }
};

template <class... Params>
void WrapAll(Backend& table) {
  static_assert(sizeof(Backend) - offsetof(Backend, pool) ==
                    sizeof...(Params) * sizeof(Operation<PoolParams>),
                "an operation was added to Backend: list its parameters below");
  const auto wrap = [&]<class P>(std::type_identity<P>) {
    if (Wrapped<P>::Inner().run == nullptr) return;
    table.*OperationTraits<P>::kMember = {&Wrapped<P>::Supports, &Wrapped<P>::WorkspaceBytes,
                                          &Wrapped<P>::Run};
  };
  (wrap(std::type_identity<Params>{}), ...);
}

Backend MakeTable() {
  Backend table{};
  table.name = "fake";
  table.device_kind = DeviceKind::kFake;
  table.unavailable = [](int) -> std::optional<std::string> { return std::nullopt; };
  table.describe = [](const Context&) { return std::string("fake"); };
  table.alloc = [](Context&, size_t bytes) { return Memory::Get().Allocate(bytes); };
  table.free = [](Context&, void* data) { Memory::Get().Free(data); };
  table.copy = [](Context&, void* to, DeviceKind, const void* from, DeviceKind, size_t bytes) {
    const Access access;
    std::memcpy(to, from, bytes);
  };
  table.alloc_pinned = [](Context&, size_t bytes) { return std::malloc(bytes); };
  table.free_pinned = [](Context&, void* data) { std::free(data); };
  table.synchronize = [](Context&) {};
  WrapAll<PoolParams, SelectParams, AttendParams, AttendBackwardParams, FullLseParams, LinearParams,
          ActivationBackwardParams, GateBackwardParams, SumRowsParams, NormModulateParams,
          NormModulateBackwardParams, QkNormRopePoolParams, QkNormRopeBackwardParams, EmbedParams,
          EmbedBackwardParams, TimeFeaturesParams, PatchifyParams, AxpbyParams, SiluParams,
          MseParams, SumSquaresParams, NormalFillParams, FillParams, AdamWParams>(table);
  return table;
}

}  // namespace

const Backend& FakeDevice() {
  static const Backend table = MakeTable();
  RegisterBackend(&table);
  return table;
}

}  // namespace suffice::testing
