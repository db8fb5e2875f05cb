// SPDX-License-Identifier: Apache-2.0
#include "lib/calibrate/verbs.h"

namespace suffice::calibrate {

using enum ArgumentKind;

void Visit(Fields& f, FrontierConfig& c) {
  f("loss", c.loss, "which loss of the runs file").Flag("loss");
  f("confidence", c.confidence, "of the intervals").Range(0.5, 0.9999);
}

void Visit(Fields& f, SelectConfig& c) {
  f("loss", c.loss, "which loss of the runs file").Flag("loss");
  f("alpha", c.alpha, "the risk (mean loss) that is allowed").Range(1e-6, 0.999).Flag("alpha");
  f("delta", c.delta, "probability that the statement is wrong, at most")
      .Range(1e-6, 0.999)
      .Flag("delta");
  f("p_value", c.p_value, "exact binomial for losses of 0 and 1, Hoeffding-Bentkus for [0, 1]")
      .OneOf({"auto", "binomial", "hoeffding_bentkus"});
}

std::vector<Verb> Verbs() {
  VerbInfo frontier{.tool = "calibrate",
                    .name = "frontier",
                    .summary = "which settings nothing else beats, with intervals"};
  frontier.arguments = {
      {"runs", "--runs", kInput, true, false, "runs file of generate evaluate"},
      Streamed({"output", "-o,--output", kOutput, false, false, "table as TSV; - is stdout"})};
  frontier.examples = {
      {"calibrate frontier --runs runs.h5 -o frontier.tsv", "the Pareto set of cost and loss"}};
  VerbInfo select{.tool = "calibrate",
                  .name = "select",
                  .summary = "the cheapest setting whose risk is certified"};
  select.description =
      "Learn then Test with fixed-sequence testing: the order split of the runs file fixes which "
      "settings\n"
      "are tested and in which order, the test split gives the p-values. Prints the sample size "
      "needed\n"
      "before anything is measured. When nothing can be certified the selection is written with "
      "the dense\n"
      "model as its only rung, and the exit status is 5. Choose alpha, delta, the loss and the "
      "grid before\n"
      "looking at the test split: a choice made after seeing it has no guarantee.\n"
      "Zero failures certify alpha = delta = 0.1 from 22 test units on, 0.05 from 59, 0.01 from "
      "459.";
  select.arguments = {
      {"runs", "--runs", kInput, true, false, "runs file of generate evaluate"},
      Streamed({"output", "-o,--output", kOutput, true, false, "selection as YAML; - is stdout"})};
  select.examples = {{"calibrate select --runs runs.h5 -c target.yaml -o selection.yaml",
                      "certify by a target file"},
                     {"calibrate select --runs runs.h5 --alpha 0.1 --delta 0.1 -o selection.yaml",
                      "the same by flags"}};
  return {MakeVerb(std::move(frontier), &Frontier), MakeVerb(std::move(select), &Select)};
}

}  // namespace suffice::calibrate
