"""What the dashboards show: queries of the readers' copy, charts and tables; no Streamlit here.

The pages of the app are in `dashboards/app`, the static report is `report.py`; both show what these
modules read, so that a number cannot differ between them.
"""
