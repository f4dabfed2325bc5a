"""The key by which equal texts are found."""

from revela.corpus.text_key import text_key


def test_texts_that_differ_in_white_space_only_have_one_key() -> None:
    assert text_key("one two\nthree") == text_key("  one  two three\r\n")
    assert text_key("one two three") != text_key("one twothree")
    assert len(text_key("")) == 16
