"""Growth: the simulated cluster runs the launcher's own code, and the page has what was measured."""

from types import SimpleNamespace

from bench import cluster, growth


def test_on_a_simulated_cluster_the_launcher_waits_for_every_job_and_no_longer_than_a_look_at_the_queue():
    found = cluster.simulate(jobs=50, slots=10, seconds=100.0)
    assert 400 < found["shortest"] < 600  # five rounds of 80 to 120 s
    assert 0 <= found["took"] - found["shortest"] < 31
    assert 0 <= found["longest"] <= found["launcher"] and 0 <= found["submitting"] <= found["launcher"]  # hundredths


def test_the_page_has_a_table_for_each_part_that_was_measured():
    found = {"store": [], "study": [{"trials": 10_000, "open": 1.5}], "cluster": [{"jobs": 50, "took": 512.0}]}
    page = growth.render(found, SimpleNamespace(workers=50, seconds=300.0, slots=1000))
    assert "| 10,000 |  1.5 |" in page and "some 300 s on 1,000 slots" in page and "A store of runs" not in page
