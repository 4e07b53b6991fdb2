"""A server for one model: answers, watches itself for drift, and follows the champion's alias."""
