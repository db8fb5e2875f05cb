// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/attention_ref.h"

#include "kernels/attention_check.h"

namespace suffice {
namespace {

template <class Params>
size_t NoWorkspace(const Context&, const Params&) {
  return 0;
}

}  // namespace

void AddAttentionRef(Backend& table) {
  table.pool = {&Validate, &NoWorkspace<PoolParams>, &ref::Pool};
  table.select = {&Validate, &ref::SelectWorkspaceBytes, &ref::Select};
  table.attend = {&Validate, &ref::AttendWorkspaceBytes, &ref::Attend};
  table.attend_backward = {&Validate, &ref::AttendBackwardWorkspaceBytes, &ref::AttendBackward};
  table.full_lse = {&Validate, &NoWorkspace<FullLseParams>, &ref::FullLse};
}

}  // namespace suffice
