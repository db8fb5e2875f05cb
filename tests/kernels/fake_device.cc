// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/fake_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

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
    const bool was_open = open_ > 0;
    open_ += change;
    if ((open_ > 0) == was_open) return;
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

// The recordings of all contexts; one is made at a time.
struct Recording {
  std::vector<std::function<void(Context&)>> work;
  std::vector<std::pair<void*, size_t>> memory;  // that its work took
};
std::unique_ptr<Recording>& UnderWay() {
  static std::unique_ptr<Recording> recording;
  return recording;
}

// Does it, or writes it down.
void Queue(Context& context, std::function<void(Context&)> work) {
  if (UnderWay() != nullptr) {
    UnderWay()->work.push_back(std::move(work));
  } else {
    work(context);
  }
}

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
    Queue(context, [params, workspace](Context& c) {
      const Access access;
      Inner().run(c, params, workspace);
    });
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
  table.alloc = [](Context&, size_t bytes) {
    void* const memory = Memory::Get().Allocate(bytes);
    if (UnderWay() != nullptr) UnderWay()->memory.emplace_back(memory, bytes);
    return memory;
  };
  table.free = [](Context&, void* data) {
    if (UnderWay() != nullptr) {  // only what was taken in it, and kept for its replays
      const auto& taken = UnderWay()->memory;
      SUFFICE_CHECK(std::any_of(taken.begin(), taken.end(),
                                [&](const auto& piece) { return piece.first == data; }));
      return;
    }
    Memory::Get().Free(data);
  };
  table.copy = [](Context& context, void* to, DeviceKind to_kind, const void* from,
                  DeviceKind from_kind, size_t bytes) {
    SUFFICE_CHECK(UnderWay() == nullptr ||
                  (to_kind == DeviceKind::kFake && from_kind == DeviceKind::kFake));
    Queue(context, [=](Context&) {
      const Access access;
      std::memcpy(to, from, bytes);
    });
  };
  table.alloc_pinned = [](Context&, size_t bytes) { return std::malloc(bytes); };
  table.free_pinned = [](Context&, void* data) { std::free(data); };
  table.synchronize = [](Context&) { SUFFICE_CHECK(UnderWay() == nullptr); };
  table.begin_recording = [](Context&) { UnderWay() = std::make_unique<Recording>(); };
  table.end_recording = [](Context&) -> void* { return UnderWay().release(); };
  table.replay = [](Context& context, void* recording) {
    const auto* const recorded = static_cast<const Recording*>(recording);
    const Access access;
    for (const auto& [data, bytes] : recorded->memory) std::memset(data, 0xFF, bytes);
    for (const auto& work : recorded->work) work(context);
  };
  table.free_recording = [](Context&, void* recording) {
    const std::unique_ptr<Recording> owned(static_cast<Recording*>(recording));
    for (const auto& [data, bytes] : owned->memory) Memory::Get().Free(data);
  };
  WrapAll<PoolParams, SelectParams, AttendParams, AttendBackwardParams, FullLseParams,
          CountPairsParams, LinearParams, ActivationBackwardParams, GateBackwardParams,
          SumRowsParams, NormModulateParams, NormModulateBackwardParams, QkNormRopePoolParams,
          QkNormRopeBackwardParams, EmbedParams, EmbedBackwardParams, TimeFeaturesParams,
          PatchifyParams, AxpbyParams, SiluParams, MseParams, SumSquaresParams, NormalFillParams,
          FillParams, AdamWParams>(table);
  return table;
}

}  // namespace

const Backend& FakeDevice() {
  static const Backend table = MakeTable();
  RegisterBackend(&table);
  return table;
}

}  // namespace suffice::testing
