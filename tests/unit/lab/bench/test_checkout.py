from pathlib import Path

import pytest

from clarion.domain.errors import OperatorError
from clarion_lab.bench.checkout import LOCK_FILE, checked_out, commit_of, git, lock_differs


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    git("init", "--quiet", root=root)
    for content in ("first", "second"):
        (root / "src" / "code.py").write_text(f"WHICH = '{content}'\n")
        (root / LOCK_FILE).write_text(content)
        git("add", ".", root=root)
        git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", content, root=root)
    return root


def test_another_commit_is_checked_out_separately_and_removed(repository: Path, tmp_path: Path) -> None:
    with checked_out(commit_of("HEAD~1", repository), tmp_path, repository) as root:
        assert "first" in (root / "src" / "code.py").read_text()
        assert lock_differs(root, repository)
        assert not lock_differs(root, root)
    assert not root.exists()
    assert str(root) not in git("worktree", "list", root=repository)


def test_a_failure_inside_leaves_no_checkout_behind(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), checked_out(commit_of("HEAD", repository), tmp_path, repository) as root:
        raise RuntimeError
    assert not root.exists()


def test_an_unknown_commit_is_refused(repository: Path) -> None:
    for name in ("nothing", "--all"):
        with pytest.raises(OperatorError, match="names no commit"):
            commit_of(name, repository)
