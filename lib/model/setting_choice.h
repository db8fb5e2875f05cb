// SPDX-License-Identifier: Apache-2.0
// Which setting a model may run: one of its contract, or one that a selection names for it.
#pragma once

#include <string>

#include "lib/model/model_file.h"
#include "lib/policy/selection.h"

namespace suffice {

// The named setting of the contract, its first if `name` is empty, dense for a dense model. Throws
// kUsage naming both sides if the contract has no such setting.
Setting SettingOfContract(const ModelInfo& info, const std::string& name, const std::string& path);

// A rung's setting, once it is known to fit the model. Throws kUsage, naming the selection, if not.
Setting SettingOfRung(const ModelInfo& info, const Rung& rung, const std::string& selection_path);

// The selection of a run that was also asked for the setting `name`: kUsage if there is one.
Selection ReadSelectionBeside(const std::string& name, const std::string& selection_path);

// The setting for the model file at `path` with this content digest: the contract's, or with a
// selection that of its first rung for this very file. Throws kUsage for a selection without one.
Setting ChooseSetting(const ModelInfo& info, const std::string& name, const std::string& path,
                      const std::string& digest, const std::string& selection_path);

// "model 0123456789abcdef with setting 'half'".
std::string Describe(const Rung& rung);

}  // namespace suffice
