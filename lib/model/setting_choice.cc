// SPDX-License-Identifier: Apache-2.0
#include "lib/model/setting_choice.h"

#include "lib/base/error.h"

namespace suffice {

Setting SettingOfContract(const ModelInfo& info, const std::string& name, const std::string& path) {
  if (!info.contract) {
    if (name.empty() || name == "dense") return DenseSetting();
    throw UsageError("{}: a dense model without a contract, setting '{}' was asked for", path,
                     name);
  }
  if (name.empty()) return info.contract->settings.front();
  const Setting* setting = info.contract->FindName(name);
  if (setting != nullptr) return *setting;
  std::string known;
  for (const Setting& s : info.contract->settings) known += (known.empty() ? "" : ", ") + s.name;
  throw UsageError("{}: setting '{}' was asked for, its contract has {}", path, name, known);
}

Setting SettingOfRung(const ModelInfo& info, const Rung& rung, const std::string& selection_path) {
  CheckSettings({rung.setting}, info.architecture.depth, info.architecture.heads, selection_path);
  return rung.setting;
}

Selection ReadSelectionBeside(const std::string& name, const std::string& selection_path) {
  if (!name.empty()) {
    throw UsageError("setting '{}': asked for beside {}, which names the setting itself", name,
                     selection_path);
  }
  return ReadSelection(selection_path);
}

Setting ChooseSetting(const ModelInfo& info, const std::string& name, const std::string& path,
                      const std::string& digest, const std::string& selection_path) {
  if (selection_path.empty()) return SettingOfContract(info, name, path);
  const Selection selection = ReadSelectionBeside(name, selection_path);
  for (const Rung& rung : selection.rungs) {
    if (rung.model == digest) return SettingOfRung(info, rung, selection_path);
  }
  throw UsageError("{}: its first rung is {}, none is of the file given: {} is {}", selection_path,
                   Describe(selection.rungs.front()), path, digest.substr(0, 16));
}

std::string Describe(const Rung& rung) {
  return fmt::format("model {} with setting '{}'", rung.model.substr(0, 16), rung.setting.name);
}

}  // namespace suffice
