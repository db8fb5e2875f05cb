// SPDX-License-Identifier: Apache-2.0
// What every backend asks of the parameters of kernels/model_ops.h: the reason why they make no
// sense, or nothing. Check looks at shapes, types and strides; Validate, which has the form of
// Operation::supports, also wants every operand on the context's device.
#pragma once

#include <optional>
#include <string>

#include "kernels/backend.h"
#include "kernels/model_ops.h"

namespace suffice {

std::optional<std::string> Check(const LinearParams& p);
std::optional<std::string> Check(const ActivationBackwardParams& p);
std::optional<std::string> Check(const GateBackwardParams& p);
std::optional<std::string> Check(const SumRowsParams& p);
std::optional<std::string> Check(const NormModulateParams& p);
std::optional<std::string> Check(const NormModulateBackwardParams& p);
std::optional<std::string> Check(const QkNormRopePoolParams& p);
std::optional<std::string> Check(const QkNormRopeBackwardParams& p);
std::optional<std::string> Check(const EmbedParams& p);
std::optional<std::string> Check(const EmbedBackwardParams& p);
std::optional<std::string> Check(const TimeFeaturesParams& p);
std::optional<std::string> Check(const PatchifyParams& p);
std::optional<std::string> Check(const AxpbyParams& p);
std::optional<std::string> Check(const SiluParams& p);
std::optional<std::string> Check(const MseParams& p);
std::optional<std::string> Check(const SumSquaresParams& p);
std::optional<std::string> Check(const NormalFillParams& p);
std::optional<std::string> Check(const FillParams& p);
std::optional<std::string> Check(const AdamWParams& p);

std::optional<std::string> Validate(const Context& context, const LinearParams& p);
std::optional<std::string> Validate(const Context& context, const ActivationBackwardParams& p);
std::optional<std::string> Validate(const Context& context, const GateBackwardParams& p);
std::optional<std::string> Validate(const Context& context, const SumRowsParams& p);
std::optional<std::string> Validate(const Context& context, const NormModulateParams& p);
std::optional<std::string> Validate(const Context& context, const NormModulateBackwardParams& p);
std::optional<std::string> Validate(const Context& context, const QkNormRopePoolParams& p);
std::optional<std::string> Validate(const Context& context, const QkNormRopeBackwardParams& p);
std::optional<std::string> Validate(const Context& context, const EmbedParams& p);
std::optional<std::string> Validate(const Context& context, const EmbedBackwardParams& p);
std::optional<std::string> Validate(const Context& context, const TimeFeaturesParams& p);
std::optional<std::string> Validate(const Context& context, const PatchifyParams& p);
std::optional<std::string> Validate(const Context& context, const AxpbyParams& p);
std::optional<std::string> Validate(const Context& context, const SiluParams& p);
std::optional<std::string> Validate(const Context& context, const MseParams& p);
std::optional<std::string> Validate(const Context& context, const SumSquaresParams& p);
std::optional<std::string> Validate(const Context& context, const NormalFillParams& p);
std::optional<std::string> Validate(const Context& context, const FillParams& p);
std::optional<std::string> Validate(const Context& context, const AdamWParams& p);

}  // namespace suffice
