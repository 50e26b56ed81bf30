"""Coding schemes of occupations, crosswalks between them, titles, groups, and the labels that all rooms speak."""
