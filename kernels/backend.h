// SPDX-License-Identifier: Apache-2.0
// The backend seam. A backend is a table of plain functions; a Context is one device of it with its
// stream, threads and workspace. Everything above kernels/ works through these and never reads or
// writes device memory itself. kernels/README.md says how to add an operation or a backend.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/model_ops.h"
#include "kernels/profile.h"
#include "lib/base/thread_pool.h"
#include "lib/base/view.h"

namespace suffice {

class Context;
struct ContextOptions;

// One operation of one backend. `supports` gives the reason why not, or nothing. `run` is
// asynchronous on the context's stream, allocates nothing, and may use `workspace_bytes` bytes at
// `workspace`.
template <class Params>
struct Operation {
  std::optional<std::string> (*supports)(const Context&, const Params&) = nullptr;
  size_t (*workspace_bytes)(const Context&, const Params&) = nullptr;
  void (*run)(Context&, const Params&, void* workspace) = nullptr;
};

struct Backend {
  const char* name;
  DeviceKind device_kind;

  // Why this machine cannot use the backend's device of that index, or nothing; and what is used
  // ("cpu avx512bf16", "cuda sm_90a").
  std::optional<std::string> (*unavailable)(int device);
  std::string (*describe)(const Context&);

  // What a context of this backend keeps (streams, handles): made when it is opened, given to it as
  // state(), and ended with it. Null: nothing.
  void* (*open)(const ContextOptions&);
  void (*close)(void* state);

  void* (*alloc)(Context&, size_t bytes);  // 64-byte aligned at least; throws kDevice when short
  void (*free)(Context&, void*);
  void (*copy)(Context&, void* to, DeviceKind to_kind, const void* from, DeviceKind from_kind,
               size_t bytes);  // in stream order; host memory may be reused on return
  void* (*alloc_pinned)(Context&, size_t bytes);
  void (*free_pinned)(Context&, void*);
  void (*synchronize)(Context&);

  // For profiles: a mark at the end of what the stream has to do, in `again` if that is one; and
  // the device's seconds between two, for which the host waits. Null: the host's clock serves.
  void* (*mark)(Context&, void* again);
  double (*seconds_between)(Context&, void* from, void* to);
  void (*free_mark)(Context&, void* mark);

  // Recordings: from begin to end what is queued is written down instead of done, memory taken and
  // given back included; `end` gives it as one piece that `replay` queues, again and again, at the
  // same addresses. Nothing in it may wait, or copy from or to a host. Null: none. `end` throws if
  // what was queued could not be recorded. Out of memory: `replay` throws OutOfMemory.
  void (*begin_recording)(Context&);
  void* (*end_recording)(Context&);
  void (*replay)(Context&, void* recording);
  void (*free_recording)(Context&, void* recording);

  Operation<PoolParams> pool;
  Operation<SelectParams> select;
  Operation<AttendParams> attend;
  Operation<AttendBackwardParams> attend_backward;
  Operation<FullLseParams> full_lse;
  Operation<CountPairsParams> count_pairs;
  Operation<LinearParams> linear;
  Operation<ActivationBackwardParams> activation_backward;
  Operation<GateBackwardParams> gate_backward;
  Operation<SumRowsParams> sum_rows;
  Operation<NormModulateParams> norm_modulate;
  Operation<NormModulateBackwardParams> norm_modulate_backward;
  Operation<QkNormRopePoolParams> qk_norm_rope_pool;
  Operation<QkNormRopeBackwardParams> qk_norm_rope_backward;
  Operation<EmbedParams> embed;
  Operation<EmbedBackwardParams> embed_backward;
  Operation<TimeFeaturesParams> time_features;
  Operation<PatchifyParams> patchify;
  Operation<AxpbyParams> axpby;
  Operation<SiluParams> silu;
  Operation<MseParams> mse;
  Operation<SumSquaresParams> sum_squares;
  Operation<NormalFillParams> normal_fill;
  Operation<FillParams> fill;
  Operation<AdamWParams> adamw;
};

// Instruction sets of the cpu backend, weakest first.
enum class CpuIsa : uint8_t { kPortable, kAvx2, kAvx512, kAvx512Bf16 };
const char* NameOf(CpuIsa isa);
CpuIsa BestCpuIsa();  // what this machine's processor and system support

struct ContextOptions {
  std::string backend = "auto";  // auto, cuda, cpu, ref, or a name given to RegisterBackend
  std::string isa = "auto";      // cpu: portable, avx2, avx512, avx512bf16; cuda: sm_80, sm_90a
  int threads = 0;               // 0: every core that this process may use
  int device = 0;
};

// Throws kDevice when the backend or instruction set asked for cannot be used here, with the
// reason.
class Context {
 public:
  explicit Context(const ContextOptions& options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Backend& backend() const { return *backend_; }
  Device device() const { return {backend_->device_kind, device_index_}; }
  void* state() const { return state_; }
  ThreadPool& pool() const { return *pool_; }
  CpuIsa isa() const { return isa_; }
  std::string Describe() const { return backend_->describe(*this); }  // "cpu avx512bf16"
  // Why `auto` passed over backends that it prefers, one line; empty if it did not.
  const std::string& passed_over() const { return passed_over_; }

  // Runs an operation: its workspace comes from the context's arena, which grows to the largest
  // need and is shared by all operations in stream order. Throws kDevice with the reason when the
  // backend does not support the parameters; nothing falls back.
  template <class Params>
  void Run(const Params& params);
  template <class Params>
  bool Supports(const Params& params) const;

  void* Workspace(size_t bytes);
  // Where it is: changes only when an operation needs more of it than any before.
  const void* workspace() const { return workspace_; }

  // From now on every operation is timed.
  void StartProfile();
  OperationProfile* profile() const { return profile_.get(); }  // null: none was started

 private:
  const Backend* backend_ = nullptr;
  int device_index_ = 0;
  void* state_ = nullptr;
  std::string passed_over_;
  CpuIsa isa_ = CpuIsa::kPortable;
  std::unique_ptr<ThreadPool> pool_;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
  std::unique_ptr<OperationProfile> profile_;
};

// The table entry of an operation's parameters, and its name in messages.
template <class Params>
struct OperationTraits;

// Known backends, in the order of preference of `auto`; a test may add its own.
std::vector<const Backend*> Backends();
void RegisterBackend(const Backend* backend);

#define SUFFICE_OPERATION(Params, member)                                    \
  template <>                                                                \
  struct OperationTraits<Params> {                                           \
    static constexpr Operation<Params> Backend::*kMember = &Backend::member; \
    static constexpr const char* kName = #member;                            \
  }
SUFFICE_OPERATION(PoolParams, pool);
SUFFICE_OPERATION(SelectParams, select);
SUFFICE_OPERATION(AttendParams, attend);
SUFFICE_OPERATION(AttendBackwardParams, attend_backward);
SUFFICE_OPERATION(FullLseParams, full_lse);
SUFFICE_OPERATION(CountPairsParams, count_pairs);
SUFFICE_OPERATION(LinearParams, linear);
SUFFICE_OPERATION(ActivationBackwardParams, activation_backward);
SUFFICE_OPERATION(GateBackwardParams, gate_backward);
SUFFICE_OPERATION(SumRowsParams, sum_rows);
SUFFICE_OPERATION(NormModulateParams, norm_modulate);
SUFFICE_OPERATION(NormModulateBackwardParams, norm_modulate_backward);
SUFFICE_OPERATION(QkNormRopePoolParams, qk_norm_rope_pool);
SUFFICE_OPERATION(QkNormRopeBackwardParams, qk_norm_rope_backward);
SUFFICE_OPERATION(EmbedParams, embed);
SUFFICE_OPERATION(EmbedBackwardParams, embed_backward);
SUFFICE_OPERATION(TimeFeaturesParams, time_features);
SUFFICE_OPERATION(PatchifyParams, patchify);
SUFFICE_OPERATION(AxpbyParams, axpby);
SUFFICE_OPERATION(SiluParams, silu);
SUFFICE_OPERATION(MseParams, mse);
SUFFICE_OPERATION(SumSquaresParams, sum_squares);
SUFFICE_OPERATION(NormalFillParams, normal_fill);
SUFFICE_OPERATION(FillParams, fill);
SUFFICE_OPERATION(AdamWParams, adamw);
#undef SUFFICE_OPERATION

namespace internal {
[[noreturn]] void ThrowUnsupported(const Context& context, const char* operation,
                                   const std::string& reason);
}  // namespace internal

template <class Params>
bool Context::Supports(const Params& params) const {
  const auto& operation = backend_->*OperationTraits<Params>::kMember;
  return operation.run != nullptr && !operation.supports(*this, params);
}

template <class Params>
void Context::Run(const Params& params) {
  const auto& operation = backend_->*OperationTraits<Params>::kMember;
  if (operation.run == nullptr) {
    internal::ThrowUnsupported(*this, OperationTraits<Params>::kName, "not in this build");
  }
  if (const auto reason = operation.supports(*this, params)) {
    internal::ThrowUnsupported(*this, OperationTraits<Params>::kName, *reason);
  }
  void* const workspace = Workspace(operation.workspace_bytes(*this, params));
  if (profile_ == nullptr) return operation.run(*this, params, workspace);
  profile_->Begin();
  operation.run(*this, params, workspace);
  const std::string detail = ProfileDetail(params);
  profile_->End(OperationTraits<Params>::kName + (detail.empty() ? "" : " " + detail));
}

}  // namespace suffice
