// SPDX-License-Identifier: Apache-2.0
// Adds the reference versions of kernels/model_ops.h to a table, topic by topic.
#pragma once

#include "kernels/backend.h"
#include "kernels/model_ops_check.h"

namespace suffice::ref {

void AddLinear(Backend& backend);
void AddNorm(Backend& backend);
void AddRope(Backend& backend);
void AddElementwise(Backend& backend);
void AddEmbed(Backend& backend);
void AddOptimizer(Backend& backend);

template <class Params>
std::optional<std::string> Supports(const Context& context, const Params& p) {
  return Validate(context, p);
}
template <class Params>
size_t NoWorkspace(const Context&, const Params&) {
  return 0;
}
// An operation without workspace.
template <class Params>
Operation<Params> Plain(void (*run)(Context&, const Params&, void*)) {
  return {&Supports<Params>, &NoWorkspace<Params>, run};
}

}  // namespace suffice::ref

namespace suffice {

void AddModelOpsRef(Backend& backend);

}  // namespace suffice
