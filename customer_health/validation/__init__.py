"""`customer-health validate`: does the score predict, how sure are we, and is it too good?

`figures` reads the validation marts, `leak_tests` and `rebuild` try to prove that the score looked
ahead, `baseline` is the guard of CI, `report` and `page` tell it, `pictures` draws.
"""
