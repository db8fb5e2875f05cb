#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual page of a tool against its --help, both ways: verbs are the subsections of COMMANDS,
options their .It Fl entries; what SHARED OPTIONS lists may be left out of a command's own list.
Usage: man_options.py REPOSITORY BIN TOOL"""
import pathlib
import re
import subprocess
import sys


def help_text(binary, *words):
    return subprocess.run([binary, *words, "--help"], capture_output=True, text=True,
                          check=True).stdout


def verbs_of(text):
    section = text.split("\nVerbs:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in section.splitlines()]


def options_of(text):
    """Option names with their dashes, and whether each takes a value."""
    found = {}
    for line in text.splitlines():
        entry = re.match(r"  (?:(-\w), )?(--[\w-]+)(?: ([A-Z=/]+))?(?:  |$)", line)
        if entry:
            for name in filter(None, entry.group(1, 2)):
                found[name] = entry[3] is not None
    return found


def man_sections(text):
    """Section and subsection titles to the options under them."""
    sections, where = {}, ""
    for line in text.splitlines():
        if line.startswith((".Sh ", ".Ss ")):
            where = line[4:].strip()
            sections[where] = {}
        elif line.startswith(".It Fl "):
            words = line[4:].split()
            takes_value = "Ar" in words
            for i, word in enumerate(words):
                if word == "Fl":
                    sections[where]["-" + words[i + 1]] = takes_value
    return sections


def compare(title, ours, theirs, problems, what):
    for name in sorted(set(ours) - set(theirs)):
        problems.append(f"{title}: {name} {what}")
    for name in sorted(set(ours) & set(theirs)):
        if ours[name] != theirs[name]:
            problems.append(f"{title}: {name} takes a value in one of --help and the manual")


def main():
    root, binary, tool = pathlib.Path(sys.argv[1]), f"{sys.argv[2]}/{sys.argv[3]}", sys.argv[3]
    page = f"man/{tool}.1"
    sections = man_sections((root / page).read_text(encoding="utf-8"))
    problems = []
    shared = sections.get("SHARED OPTIONS", {})
    general = options_of(help_text(binary))
    compare(f"{tool} --help", general, sections.get("OPTIONS", {}), problems, f"is not in {page}")
    compare(page, sections.get("OPTIONS", {}), general, problems, f"is not in {tool} --help")
    verbs = verbs_of(help_text(binary))
    everything = {}
    for verb in verbs:
        options = options_of(help_text(binary, verb))
        everything.update(options)
        if verb not in sections:
            problems.append(f"{page}: no subsection '{verb}'")
            continue
        title = f"{tool} {verb}"
        compare(f"{title} --help", options, {**shared, **sections[verb]}, problems,
                f"is not in {page}")
        compare(f"{page}, {verb}", sections[verb], options, problems, f"is not in {title} --help")
    compare(f"{page}, SHARED OPTIONS", shared, everything, problems, "is in no command's --help")
    text = (root / page).read_text(encoding="utf-8")
    commands = re.search(r"^\.Sh COMMANDS\n(.*?)^\.Sh ", text, re.M | re.S)
    for name in re.findall(r"^\.Ss (\S+)", commands[1] if commands else "", re.M):
        if name not in verbs:
            problems.append(f"{page}: '{name}' is no verb of {tool}")
    print("\n".join(problems) or f"{page} and --help agree on {len(verbs)} verbs and "
          f"{len(everything)} options")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
