"""The import contracts are effective: a copy of the tree with one planted violation per contract breaks every contract."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

PLANTED = {
    "clarion/ops/planted.py": "import clarion.accept\n",
    "clarion/plan/rules/planted.py": "import clarion.plan.worker\nimport clarion.ports\nimport time\n",
    "clarion/plan/worker.py": "",
    "clarion/providers/sms/planted_one.py": "import clarion.providers.sms.planted_two\nimport socket\n",
    "clarion/providers/sms/planted_two.py": "",
    "clarion/languages/cel/planted.py": "import clarion.languages.liquid\n",
    "clarion/stores/memory/planted.py": "import clarion.stores.sqlite\n",
    "clarion/app/planted.py": "import clarion_lab.bench\n",
    "clarion_lab/simulate/planted.py": "import clarion_lab.load.programs\n",
}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the project's contracts over the packages in this folder."""
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--config", ROOT / "pyproject.toml"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


@pytest.mark.slow
def test_each_contract_catches_its_planted_fault(tmp_path: Path):
    shutil.copytree(ROOT / "src", tmp_path, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for path, source in PLANTED.items():
        (tmp_path / path).write_text(source)
    (tmp_path / "clarion" / "unplaced").mkdir()
    (tmp_path / "clarion" / "unplaced" / "__init__.py").write_text("")
    run = lint_imports(tmp_path)
    report = run.stdout + run.stderr
    assert run.returncode == 1, report
    assert "Contracts: 0 kept" in report, report
    assert "clarion.unplaced" in report, report
