"""Compares the answers of qwren with those of transformers: thought, content and tool calls have to be the same.

usage: qwren run --jsonl ../tests/heldout/requests.jsonl > answers.jsonl
       python compare.py ../tests/heldout/requests.jsonl ../tests/heldout/reference.jsonl answers.jsonl

The answers belong to all requests, line by line, or carry the ids of theirs; the reference's carry ids and may be a part.  Leaves with 1 if fewer
than 99 % are the same.
"""
import sys

from answers import calls_of, content_of, identical, read_lines

BAR = 99.0


def by_name(answers, requests):
    """{id: answer}"""
    if all("id" in answer for answer in answers):
        return {answer["id"]: answer for answer in answers}
    if len(answers) != len(requests):
        sys.exit("compare: %d answers to %d requests" % (len(answers), len(requests)))
    return {request["id"]: answer for request, answer in zip(requests, answers)}


def shown(answer):
    return "%r %r %r" % ((answer.get("reasoning_content") or "").strip(), answer.get("error") or content_of(answer), calls_of(answer))


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    requests, reference, answers = map(read_lines, sys.argv[1:])
    answers = by_name(answers, requests)
    missing = [wanted["id"] for wanted in reference if wanted["id"] not in answers]
    if missing:
        sys.exit("compare: %d requests are not answered, the first is %s" % (len(missing), missing[0]))
    different = [wanted for wanted in reference if "error" in answers[wanted["id"]] or not identical(wanted, answers[wanted["id"]])]
    for wanted in different:
        print("%s\n  reference: %s\n  qwren:     %s" % (wanted["id"], shown(wanted), shown(answers[wanted["id"]])))
    share = 100 - 100 * len(different) / len(reference)
    print("the same: %.2f %% of %d answers (bar: %.0f %%)" % (share, len(reference), BAR))
    sys.exit(share < BAR)


if __name__ == "__main__":
    main()
