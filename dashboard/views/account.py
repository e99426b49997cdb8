"""Account: who I am here, a new password, and the way out."""

import streamlit as st

from tradinghf.errors import TradingHFError
from tradinghf.serving import ui

MAY = {
    "rater": "rank, and see your own answers, the leaderboard and the reward model",
    "lead": "rank, train, backtest, and see everybody's answers",
    "admin": "rank, train, backtest, see everybody's answers, and manage data and users",
}

board, who = ui.open_page("Account", "Your answers are stored under this name.")
st.text(f"{who.rater}, {who.role}: you may {MAY[who.role]}.")


def new_password() -> None:
    """Change one's own password; that ends all sign-ins, this one too."""
    with st.form("password", clear_on_submit=True, width=420):
        st.subheader("Change your password", anchor=False)
        now = st.text_input("Password now", type="password")
        new = st.text_input("New password, at least 12 characters", type="password")
        if not st.form_submit_button("Change password"):
            return
    try:
        found = board.accounts.sign_in(who.rater, now)
        board.accounts.change(who.rater, password=new, by=who.rater, stamp=found.stamp)
    except TradingHFError as error:
        st.error(str(error))
    else:
        st.success("Changed. All your sign-ins have ended, this one too.")
        ui.link_here("Sign in with the new password", "/login")


if board.settings.auth == "none":
    st.caption("Sign-in is off: this dashboard serves its own machine only.")
elif board.settings.auth == "oidc":
    st.button("Sign out", on_click=st.logout)
else:
    ui.link_here("Sign out", "/logout")
    new_password()
