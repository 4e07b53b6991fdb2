"""The Airflow plugin: registers what heritage adds to Airflow. No logic in this file."""

from airflow.plugins_manager import AirflowPlugin


class HeritagePlugin(AirflowPlugin):
    """What Airflow lists under Admin > Plugins."""

    name = "heritage"
