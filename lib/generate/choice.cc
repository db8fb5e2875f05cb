// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/choice.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/model/held_out.h"
#include "lib/model/setting_choice.h"

namespace suffice::generate {
namespace {

Choice Open(const std::string& path) {
  TensorReader file(path, EncodingType::kModel);
  ModelInfo info = ReadModelInfo(file);
  return {std::move(file), std::move(info), {}};
}

Choice OfRung(const std::string& path, const Rung& rung, const std::string& selection_path) {
  Choice choice = Open(path);
  choice.setting = SettingOfRung(choice.info, rung, selection_path);
  return choice;
}

// "sparse.h5 is 0123456789abcdef, ..."
std::string Given(RunScope& scope, const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) {
    text += fmt::format("{}{} is {}", text.empty() ? "" : ", ", file,
                        scope.DigestOf(file).substr(0, 16));
  }
  return text;
}

}  // namespace

Choice ChooseSetting(RunScope& scope, const std::string& name) {
  const std::string& path = scope.Input("model");
  Choice choice = Open(path);
  choice.setting = ChooseSetting(choice.info, name, path, scope.DigestOf(path),
                                 scope.Has("selection") ? scope.Input("selection") : "");
  return choice;
}

Choice ChooseRung(RunScope& scope, const std::string& name) {
  std::vector<std::string> files = {scope.Input("model")};
  for (const std::string& path : scope.Inputs("fallback")) files.push_back(path);
  if (!scope.Has("selection")) {
    if (files.size() > 1) {
      throw UsageError("{}: a fallback is chosen by a selection, and none is given", files[1]);
    }
    return ChooseSetting(scope, name);
  }
  const std::string& selection_path = scope.Input("selection");
  const Selection selection = ReadSelectionBeside(name, selection_path);
  const auto file_of = [&](const Rung& rung) {
    return std::find_if(files.begin(), files.end(), [&](const std::string& file) {
      return scope.DigestOf(file) == rung.model;
    });
  };
  const Rung& first = selection.rungs.front();
  if (file_of(first) != files.end()) return OfRung(*file_of(first), first, selection_path);
  const bool any = std::any_of(selection.rungs.begin(), selection.rungs.end(),
                               [&](const Rung& rung) { return file_of(rung) != files.end(); });
  if (!any) {
    throw UsageError("{}: its first rung is {}, none is of the files given: {}", selection_path,
                     Describe(first), Given(scope, files));
  }
  throw DataError("{}: the file of its first rung, {}, is not given; the files given: {}",
                  selection_path, Describe(first), Given(scope, files));
}

void RequireClips(const Choice& choice, const ClipDataset& data, const std::string& data_path) {
  const ModelInfo& info = choice.info;
  data.RequireShape(ClipShapeOf(info), true, data_path);
  if (info.architecture.in_channels != 3 || info.architecture.context_dim > 0) {
    throw UsageError("{}: {} channels, context of {}; clips have 3 channels and no context",
                     choice.file.path(), info.architecture.in_channels,
                     info.architecture.context_dim);
  }
  if (info.architecture.classes > 0 && info.classes != data.classes()) {
    throw UsageError("{}: its classes are not those of {}", data_path, choice.file.path());
  }
}

std::unique_ptr<VideoDit> Load(Context& context, const Choice& choice, const std::string& compute) {
  return LoadModel(context, choice.file, choice.info,
                   compute == "bf16" ? DType::kBF16 : DType::kF32);
}

}  // namespace suffice::generate
