"""JUnit XML that was written, checked against the schemas."""

from pathlib import Path

from lxml import etree

FOLDER = Path(__file__).with_name("junit")
SCHEMAS = [etree.XMLSchema(etree.parse(FOLDER / f"{name}.xsd")) for name in ("jenkins", "windyroad")]


def checked(data: bytes) -> "etree._Element":
    """Return the test suite; each schema finds the file valid, and the counts are those of the elements."""
    root = etree.fromstring(data)
    for schema in SCHEMAS:
        schema.assertValid(root)
    [suite] = root
    counts = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for attribute, element in counts.items():
        assert int(suite.attrib[attribute]) == len(list(suite.iter(element)))
    return suite


def cases_of(suite: "etree._Element") -> dict[str, str]:
    """Return the name of each test case, and of what kind its end is: '' for one that passed."""
    return {str(case.attrib["name"]): str(case[0].tag) if len(case) else "" for case in suite.iter("testcase")}
